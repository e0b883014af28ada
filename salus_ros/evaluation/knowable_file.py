"""What is knowable of a store, from a file of benchmark/knowable.py, beside what was reached."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from salus_ros.core.errors import ConfigError
from salus_ros.training.dataset import Samples

OBSERVER = "state and plan"
"""Who knows the true state, the policy and the plan just drawn: the limit of a predictor."""

Outputs = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""By horizon and type, as of `step_evaluation.precision_by_output`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Average precision that is knowable, by horizon and type, and of what.

    Attributes:
        path: The file.
        store: The store that it was measured on.
        world: Gymnasium id of its world.
        precision: By horizon ("0.5 s") and type; None where nothing defines it.
    """

    path: str
    store: str
    world: str
    precision: Mapping[str, Mapping[str, float | None]]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read such a file, made with --json.

        Raises:
            ConfigError: if it cannot be read, or is no such file.
        """
        try:
            found = json.loads(Path(path).read_text())
            if not isinstance(found, dict) or found.get("benchmark") != "knowable":
                raise ValueError("it is of no benchmark 'knowable'")
            outputs = found["observers"][OBSERVER]["by_horizon_and_type"]
            return cls(
                str(path),
                str(found["store"]),
                str(found["env_id"]),
                {
                    horizon: {
                        kind: _share(one["average_precision"]) for kind, one in types.items()
                    }
                    for horizon, types in outputs.items()
                },
            )
        except OSError as error:
            raise ConfigError(f"cannot read the limits '{path}': {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"'{path}' has no limits ({error}); give what benchmark/knowable.py STORE --json "
                "printed"
            ) from error

    @property
    def source(self) -> dict[str, str]:
        """Where they come from, as JSON values."""
        return {
            "file": self.path, "store": self.store, "world": self.world, "observer": OBSERVER
        }  # fmt: skip

    def check(self, samples: Samples) -> None:
        """Refuse episodes of another world; those that do not say theirs are let pass.

        Raises:
            ConfigError: naming both.
        """
        worlds = sorted({r.meta.world for r in samples.records} - {"", self.world})
        if worlds:
            raise ConfigError(
                f"the limits '{self.path}' are of {self.world}, the episodes ran in "
                f"{', '.join(worlds)}; measure theirs with benchmark/knowable.py"
            )

    def beside(self, outputs: Outputs) -> dict[str, dict[str, dict[str, float | None]]]:
        """Outputs with their `limit` and the `skill`, average precision / limit; None if unknown.

        The limit was measured on a sample of replans, so that a skill may exceed 1 by chance.
        """
        return {
            horizon: {
                kind: {**one, **_skill(one, self.precision.get(horizon, {}).get(kind))}
                for kind, one in types.items()
            }
            for horizon, types in outputs.items()
        }


def _share(value: Any) -> float | None:
    if value is None:
        return None
    if not 0 <= float(value) <= 1:
        raise ValueError(f"an average precision of {value}")
    return float(value)


def _skill(one: Mapping[str, float | None], limit: float | None) -> dict[str, float | None]:
    reached = one["average_precision"]
    skill = reached / limit if limit and reached is not None else None
    return {"limit": limit, "skill": skill}


def mean_outputs(splits: Sequence[Outputs]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean of each figure over splits, of those that define it; None where none does."""
    return {
        horizon: {
            kind: {name: _mean([split[horizon][kind][name] for split in splits]) for name in one}
            for kind, one in types.items()
        }
        for horizon, types in splits[0].items()
    }


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
