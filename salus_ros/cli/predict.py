"""`salus predict`: a store with what a predictor says of each step."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, err_console, print_json, print_line
from salus_ros.cli.progress import bar


def predict(
    store: Annotated[Path, typer.Argument(help="Episode store.", show_default=False)],
    model: Annotated[Path, typer.Option(help="Folder that training wrote, or shipped.")],
    out: Annotated[Path, typer.Option(help="Folder of the new store.")],
    images: Annotated[bool, typer.Option(help="Keep the images.")] = True,
    device: Annotated[str, typer.Option(help="Where to run: cpu, cuda or cuda:N.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Write the episodes of a store with what a predictor says of them, in place of what was said.

    Probabilities, risk, alarm and what is said of the episode as a whole, at every step, as the
    predictor node would have said it live. Every other verb reads the new store: `salus report`
    draws its pages. The same command goes on where it was stopped.
    """
    from salus_ros.episodes.reader import StoreReader
    from salus_ros.prediction.offline import predict_store
    from salus_ros.prediction.predictor import Predictor

    reader, predictor = StoreReader(store), Predictor.load(model, device)
    with nullcontext() if as_json else bar("episodes", len(reader), err_console) as advance:
        episodes = predict_store(reader, predictor, out, images=images, on_episode=advance)
    doubts = predictor.doubts(meta.policy_id for meta in reader.episodes())
    if as_json:
        found = {"path": str(out), "episodes": episodes, "model_id": predictor.model_id}
        print_json(found | {"doubts": doubts})
        return
    print_line(f"wrote {episodes} episodes, predicted by {predictor.model_id}, to {out}")
    for doubt in doubts:
        print_line(doubt)
