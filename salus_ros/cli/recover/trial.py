"""`salus recover trial`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import EXIT_INTERRUPTED, AsJson, err_console, print_line, print_result
from salus_ros.cli.progress import Advance, bar
from salus_ros.cli.world_options import (
    Condition,
    Device,
    EnvId,
    Fault,
    NoiseMemory,
    NumSamples,
    Policy,
    ReplanEvery,
    Seed,
    Task,
    Workers,
)
from salus_ros.worlds.physics import ENV_ID

DEFAULT_ARMS = (
    "shadow,requery,hold,home,scripted,scripted@stuck,scripted@random,scripted@clock,"
    "scripted@oracle"
)


def trial(
    model: Annotated[
        Path, typer.Option(help="Calibrated predictor: best_predictor.pt or its folder.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="File of the result (.json). Beside it, by the same name, the episodes without "
            "intervention (.zarr) and the courses done (.jsonl)."
        ),
    ],
    arms: Annotated[
        str,
        typer.Option(
            help="What to compare with none, separated by commas: BEHAVIOUR@TRIGGER. Behaviours: "
            "requery, hold, home, manifold, policy, scripted, person; triggers: alarm, stuck, "
            "either, random, clock, oracle. scripted@alarm:timeout+hold@alarm:drop/collision acts "
            "by kind; shadow:scripted@stuck only says what it would do."
        ),
    ] = DEFAULT_ARMS,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each arm.")] = 100,
    seed: Seed = 3_000_000,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Store of the episodes without intervention, where it is not beside --out: its "
            "episodes of these seeds are taken, those it lacks are run."
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Rate of the alarm: share of successes that may alarm.")
    ] = 0.2,
    most: Annotated[int, typer.Option(min=1, help="Interventions in an episode.")] = 2,
    stuck_m: Annotated[
        float, typer.Option(help="Stuck: the tool stays within a cube of this edge, in m ...")
    ] = 0.06,
    stuck_steps: Annotated[
        int | None, typer.Option(min=1, help="... for so many steps (v0: 30, v1: 90).")
    ] = None,
    hold_steps: Annotated[int, typer.Option(min=1, help="How long `hold` stands still.")] = 30,
    person_timeout_s: Annotated[
        float, typer.Option(help="How long `person` waits; here nobody answers.")
    ] = 3.0,
    second_policy: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the policy that `policy` runs; by default the one that ships for the "
            "world, where one does (v1)."
        ),
    ] = None,
    second_steps: Annotated[int, typer.Option(min=1, help="How long it has the arm.")] = 120,
    manifold: Annotated[
        Path | None,
        typer.Option(help="File of `salus manifold train` whose successes `manifold` follows."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Folder for a page with film strips of saves and losses.")
    ] = None,
    workers: Workers = 2,
    policy: Policy = None,
    env_id: EnvId = ENV_ID,
    task: Task = "",
    fault: Fault = "random",
    condition: Condition = "standard",
    num_samples: NumSamples = 4,
    replan_every: ReplanEvery = 3,
    noise_memory: NoiseMemory = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure what recovery gains: the same episodes, with and without each intervention.

    Every arm has the same seeds, faults and noise, and is the same episode until it first
    intervenes.
    """
    from salus_ros.collection.config import CollectionConfig
    from salus_ros.collection.trials.config import PACES, TrialConfig
    from salus_ros.collection.trials.trial import run_trial
    from salus_ros.policies.tiny import shipped_policy, shipped_recovery
    from salus_ros.recovery.arms import StuckRule
    from salus_ros.recovery.catalogue import BehaviourSettings
    from salus_ros.reports.pages.rendering import write_numbers
    from salus_ros.reports.tables.layout import listed
    from salus_ros.reports.tables.recovery import trial_tables
    from salus_ros.worlds.options import known

    collection = CollectionConfig(
        policy=(policy or shipped_policy(env_id)).absolute(),
        env_id=env_id,
        task=task,
        fault=fault,
        condition=condition,
        num_samples=num_samples,
        replan_every=replan_every,
        noise_memory=noise_memory,
        device=device,
    )
    second = second_policy or shipped_recovery(env_id)
    pace = PACES[known(env_id, tuple(PACES), "env_id")]
    config = TrialConfig(
        collection=collection,
        model=model.absolute(),
        arms=tuple(name.strip() for name in arms.split(",") if name.strip()),
        alpha=alpha,
        settings=BehaviourSettings(
            hold_steps=hold_steps,
            person_timeout_s=person_timeout_s,
            policy=None if second is None else second.absolute(),
            policy_steps=second_steps,
            replan_every=replan_every,
            regrasp_steps=pace.regrasp_steps,
            retry_steps=pace.retry_steps,
            device=device,
            manifold=None if manifold is None else manifold.absolute(),
        ),
        stuck=StuckRule(stuck_m, stuck_steps or pace.stuck_steps),
        most=most,
    )
    try:
        with ExitStack() as stack:
            episode_bar = stack.enter_context(bar("without intervention", episodes, err_console))
            course_bar: list[Advance] = []  # how many there are is known when the first is done

            def on_course(done: int, total: int, words: str) -> None:
                if not course_bar:
                    course_bar.append(stack.enter_context(bar("courses", total, err_console)))
                course_bar[0](done, words)

            result = run_trial(
                config,
                store or out.with_suffix(".zarr"),
                out.with_suffix(".jsonl"),
                episodes,
                seed,
                workers,
                lambda found: episode_bar(found.episodes, listed(dict(found.endings))),
                on_course,
            )
    except KeyboardInterrupt:
        err_console.print("stopped; what is done is kept, and the same command goes on")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    write_numbers(result.figures, out)
    if page is not None:
        from salus_ros.reports.pages.recovery import write_trial_page

        written = write_trial_page(result, page)
    print_result(result.figures, as_json, trial_tables)
    if not as_json:
        print_line(f"wrote {out}")
        if page is not None:
            print_line(f"open {written}")
