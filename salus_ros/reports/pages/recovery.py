"""The page of a trial: what each arm gains, and film strips of what it saved and spoilt."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from salus_ros.collection.trials.course import Course, Recorded
from salus_ros.collection.trials.trial import TrialResult
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.reports.figures.courses import course_strips
from salus_ros.reports.figures.filmstrip import save_filmstrips
from salus_ros.reports.pages.rendering import write_page
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.world import PickPlaceEnv

SHOWN = 3
"""Film strips of an arm's saves, and as many of what it spoilt."""


def write_trial_page(result: TrialResult, out: Path) -> Path:
    """Write `index.html`, which needs no other file, and its figures beside it.

    Args:
        result: Of the trial.
        out: Folder to write to; made if it is not there.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: if `out` cannot be written.
        SimulatorError: if the world cannot be rendered here.
    """
    env = PickPlaceEnv(physics=PHYSICS[result.figures["world"]], render_every=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        shown: list[dict[str, Any]] = [
            {
                "arm": arm,
                "saved": list(_save(env, out, arm, "saved", pairs(result, arm, saved=True))),
                "spoilt": list(_save(env, out, arm, "spoilt", pairs(result, arm, saved=False))),
            }
            for arm in result.courses
        ]
        names = [one["name"] for arm in shown for one in (*arm["saved"], *arm["spoilt"])]
        values = {
            "title": "Trial of recovery",
            "head": "recovery/head.html",
            "sections": [
                {"title": "Arms", "template": "recovery/arms.html"},
                {"title": "Film strips", "template": "recovery/strips.html"},
            ],
            "figures": result.figures,
            "shown": [arm for arm in shown if arm["saved"] or arm["spoilt"]],
        }
        return write_page("page.html", out, names, values)
    except OSError as error:
        raise ConfigError(f"cannot write the page to '{out}': {error.strerror}") from error
    finally:
        env.close()


def pairs(result: TrialResult, arm: str, *, saved: bool) -> list[tuple[Recorded, Course]]:
    """The episodes that an arm saved, or those that it spoilt."""
    return [
        (recorded, course)
        for recorded, course in zip(result.recorded, result.courses[arm], strict=True)
        if course.diverged >= 0
        and (course.outcome is Outcome.SUCCESS) == saved
        and (recorded.meta.outcome is Outcome.SUCCESS) != saved
    ]


def _save(
    env: PickPlaceEnv, out: Path, arm: str, how: str, found: Sequence[tuple[Recorded, Course]]
) -> Iterator[dict[str, Any]]:
    safe = "".join(letter if letter.isalnum() else "_" for letter in arm)
    for recorded, course in found[:SHOWN]:
        name = f"{safe}_{how}_{recorded.meta.seed}"
        save_filmstrips(out / f"{name}.png", course_strips(env, recorded, course))
        yield {"name": name, "meta": recorded.meta, "course": course}
