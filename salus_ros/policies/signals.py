"""From one replan to the next: the twelve signals with the memory that some of them need."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from salus_ros.core.errors import PolicyError
from salus_ros.core.schema import SIGNAL_NAMES, SIGNALS, SignalKind
from salus_ros.policies import definitions as d
from salus_ros.policies.reference import REFERENCE_FILE, LatentReference
from salus_ros.policies.tap import PolicySample, TapSpec


class SignalComputer:
    """Computes the signals of one episode after the other; `reset` clears all memory.

    Args:
        executed: Number of tokens of a chunk that may be executed.
        reference: For `latent_ood`; None leaves it NaN.
        replan_every: Steps between replans; where the whole chunk may be executed, that many
            steps of it are compared with the rest in `sample_spread_growth`.
        further: Names of the signals beyond the twelve that the tap gives.
    """

    def __init__(
        self,
        executed: int,
        reference: LatentReference | None = None,
        replan_every: int | None = None,
        further: Sequence[str] = (),
    ) -> None:
        self._executed, self._reference = executed, reference
        self._names = (*SIGNAL_NAMES, *further)
        self._replan_every = executed if replan_every is None else replan_every
        self.reset()

    def reset(self) -> None:
        """Begin an episode: there is no previous replan."""
        self._step = -1
        self._attention: npt.NDArray[np.float64] | None = None
        self._mean: npt.NDArray[np.float64] | None = None
        self._hidden: npt.NDArray[np.float64] | None = None

    def __call__(self, sample: PolicySample, step: int) -> npt.NDArray[np.float32]:
        """Signals of the replan at `step`, float32 (12 + F,).

        In the order of `core.schema.SIGNALS`, then the further ones; NaN where a value does not
        exist (yet).

        Raises:
            PolicyError: if the tap names a signal that there is not.
        """
        chunks = _array(sample.chunks)  # (K, T, A)
        near = self._executed if self._executed < chunks.shape[1] else self._replan_every
        values = dict.fromkeys(self._names, np.nan) | {
            "sample_variance": d.sample_variance(chunks, self._executed),
            "sample_spread_growth": d.sample_spread_growth(chunks, near),
            "chunk_inconsistency": d.chunk_inconsistency(chunks, self._mean, step - self._step),
        }
        image = hidden = None
        if sample.attention is not None:
            weights = _array(sample.attention)
            image = d.image_attention_map(weights, sample.image_tokens)
            values |= {
                "attention_entropy": d.attention_entropy(image),
                "attention_image_mass": d.attention_image_mass(weights, image),
                "attention_camera_imbalance": d.attention_camera_imbalance(image),
                "attention_shift": d.attention_shift(image, self._attention),
            }
        if sample.curvature is not None:
            values["flow_curvature"] = float(sample.curvature)
        if sample.hidden is not None:
            samples = _array(sample.hidden)  # (K, H)
            hidden = samples.mean(axis=0)
            values |= {
                "latent_drift": d.latent_drift(hidden, self._hidden),
                "latent_norm": d.latent_norm(hidden),
                "latent_dispersion": d.latent_dispersion(samples),
            }
            if self._reference is not None:
                values["latent_ood"] = self._reference.distance(hidden)
        if unknown := set(sample.named) - set(self._names):
            raise PolicyError(
                f"the policy's tap gives the signals {', '.join(sorted(unknown))}; there are "
                f"{', '.join(self._names)}; it names others in its TapSpec.further"
            )
        values |= sample.named
        self._step, self._attention = step, image
        self._mean, self._hidden = chunks.mean(axis=0), hidden
        return np.array([values[name] for name in self._names], np.float32)


def unavailable_signals(
    spec: TapSpec, num_samples: int, replan_every: int, *, reference: bool
) -> dict[str, str]:
    """Signals that a policy never has, each with the reason.

    Args:
        spec: Of the policy.
        num_samples: K.
        replan_every: Steps between replans.
        reference: Whether a `LatentReference` lies beside its weights.
    """
    missing: dict[str, str] = {}
    length = spec.plan_length
    if spec.executed >= length and replan_every >= length:
        missing["sample_spread_growth"] = (
            f"the whole chunk of {length} steps is executed, so there is no rest of it to compare "
            "with; replan_every may be smaller"
        )
    if replan_every >= length:
        missing["chunk_inconsistency"] = (
            f"two chunks of {length} steps do not overlap where replan_every is {replan_every}"
        )
    spread = ("sample_variance", "sample_spread_growth", "latent_dispersion")
    if not spec.stochastic:
        missing |= dict.fromkeys(spread, "the policy has one chunk for an observation, no spread")
    elif num_samples < 2:
        missing |= dict.fromkeys(spread, "num_samples is 1; a spread needs 2 chunks")
    if spec.embedding_dim == 0:
        latent = [one.name for one in SIGNALS if one.kind is SignalKind.HIDDEN_STATE]
        missing |= dict.fromkeys(latent, "the tap of this policy reads no hidden state")
    elif not reference:
        missing["latent_ood"] = (
            f"no {REFERENCE_FILE} lies beside the weights; fit it to successful episodes: "
            "salus policy reference POLICY STORE"
        )
    return missing | dict(spec.unavailable)


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = tensor.double().cpu().numpy()
    return array
