"""`salus pack`."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salus_ros.cli.output import AsJson, err_console, print_result
from salus_ros.cli.progress import bar

if TYPE_CHECKING:
    from salus_ros.episodes.pack import Packed


def pack(
    stores: Annotated[
        list[Path],
        typer.Argument(help="Episode stores, joined in this order.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The file to write, .zarr.zip.")],
    images: Annotated[bool, typer.Option(help="Keep the images; they are most of it.")] = True,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out embedding, chunk_statistics, plan, plan_samples, visual_embedding, "
            "expert_embedding, further_signals or joints; may be given several times.",
            show_default=False,
        ),
    ] = None,
    keep_bits: Annotated[
        int,
        typer.Option(
            min=0,
            max=23,
            help="Keep this many bits of the mantissa of such columns, so that they are off by a "
            "2^-(bits + 1)th at most; 0: all. State, action, signals and predictions stay exact.",
        ),
    ] = 0,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Take this many at most; all by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Join episode stores into one small file that every verb reads.

    An episode that lies in several of them is packed once, with the first label that says how
    it ended.
    """
    from salus_ros.episodes.pack import check_target, select_episodes
    from salus_ros.episodes.pack import pack as write
    from salus_ros.reports.tables.packed import packed_tables

    check_target(out, force=force)
    chosen = select_episodes(
        stores, images=images, without=without or (), keep_bits=keep_bits, limit=episodes
    )
    with nullcontext() if as_json else bar("episodes", len(chosen), err_console) as advance:
        packed = write(chosen, out, force=force, on_episode=advance)
    summary = _summary(packed, chosen.repeated)
    print_result(summary, as_json, packed_tables)


def _summary(packed: "Packed", repeated: int) -> dict[str, Any]:
    sizes = sorted(packed.array_bytes.items(), key=lambda item: -item[1])
    return {
        "path": str(packed.path),
        "episodes": packed.episodes,
        "repeated_episodes_left_out": repeated,
        "steps": packed.steps,
        "megabytes": round(packed.size_bytes / 1e6, 3),
        "bytes_per_step": {name: round(size / packed.steps, 2) for name, size in sizes},
    }
