"""From one replan to the next: the twelve signals with the memory that some of them need."""

import numpy as np
import numpy.typing as npt
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from torch import Tensor

from salus_ros.core.schema import SIGNALS, SignalKind
from salus_ros.policies import definitions as d
from salus_ros.policies.reference import REFERENCE_FILE, LatentReference
from salus_ros.policies.smolvla.tap import TappedSample


class SignalComputer:
    """Computes the signals of one episode after the other; `reset` clears all memory.

    Args:
        executed: Number of tokens of a chunk that are executed.
        reference: For `latent_ood`; None leaves it NaN.
    """

    def __init__(self, executed: int, reference: LatentReference | None = None) -> None:
        self._executed, self._reference = executed, reference
        self.reset()

    def reset(self) -> None:
        """Begin an episode: there is no previous replan."""
        self._step = -1
        self._attention: npt.NDArray[np.float64] | None = None
        self._mean: npt.NDArray[np.float64] | None = None
        self._hidden: npt.NDArray[np.float64] | None = None

    def __call__(self, sample: TappedSample, step: int) -> npt.NDArray[np.float32]:
        """Signals of the replan at `step`, float32 (12,) in the order of `core.schema.SIGNALS`.

        NaN where a value does not exist (yet).
        """
        chunks = _array(sample.chunks)  # (K, C, A)
        samples = _array(sample.hidden)  # (K, H)
        hidden = samples.mean(axis=0)
        attention = np.full(4, np.nan)
        image = None
        if sample.attention is not None:
            weights = _array(sample.attention)
            image = d.image_attention_map(weights, sample.image_tokens)
            attention[:] = (
                d.attention_entropy(image),
                d.attention_image_mass(weights, image),
                d.attention_camera_imbalance(image),
                d.attention_shift(image, self._attention),
            )
        uncertainty = (
            d.sample_variance(chunks, self._executed),
            d.sample_spread_growth(chunks, self._executed),
            d.chunk_inconsistency(chunks, self._mean, step - self._step),
            float(sample.curvature),
        )
        latent = (
            d.latent_drift(hidden, self._hidden),
            d.latent_norm(hidden),
            d.latent_dispersion(samples),
            self._reference.distance(hidden) if self._reference is not None else np.nan,
        )
        self._step, self._attention = step, image
        self._mean, self._hidden = chunks.mean(axis=0), hidden
        return np.concatenate([attention, uncertainty, latent]).astype(np.float32)


def unavailable_signals(
    config: SmolVLAConfig, num_samples: int, replan_every: int, *, attention: bool, reference: bool
) -> dict[str, str]:
    """Signals that a policy never has, each with the reason.

    Args:
        config: Of the policy.
        num_samples: K.
        replan_every: Steps between replans.
        attention: Whether its expert has cross-attention.
        reference: Whether a `LatentReference` lies beside its weights.
    """
    missing: dict[str, str] = {}
    if not attention:
        reason = "the action expert has no cross-attention"
        missing |= {spec.name: reason for spec in SIGNALS if spec.kind is SignalKind.ATTENTION}
    executed, chunk = config.n_action_steps, config.chunk_size
    if executed >= chunk:
        missing["sample_spread_growth"] = (
            f"the whole chunk is executed (n_action_steps = chunk_size = {chunk}), so there is no "
            "rest of it to compare with; n_action_steps in config.json may be smaller"
        )
    if replan_every >= chunk:
        missing["chunk_inconsistency"] = (
            f"two chunks of {chunk} steps do not overlap where replan_every is {replan_every}"
        )
    if config.num_steps < 2:
        missing["flow_curvature"] = "there is one denoising step (num_steps)"
    if num_samples < 2:
        reason = "num_samples is 1; a spread needs 2 chunks"
        names = ("sample_variance", "sample_spread_growth", "latent_dispersion")
        missing |= dict.fromkeys(names, reason)
    if not reference:
        missing["latent_ood"] = (
            f"no {REFERENCE_FILE} lies beside the weights; fit it to successful episodes: "
            "salus policy reference POLICY STORE"
        )
    return missing


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = tensor.double().cpu().numpy()
    return array
