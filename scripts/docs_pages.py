"""Write the pages of docs/ that the code itself can tell: the graph, messages, parameters, verbs.

python scripts/docs_pages.py                # write them
python scripts/docs_pages.py commands.md    # or some of them
python scripts/docs_pages.py --check        # say which are not up to date; exit code 1

The graph is read from running nodes: those that the launch file starts are made active in this
process, and asked what they publish, hear and offer.
"""

import argparse
import ast
import html
import importlib
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LAUNCH = ROOT / "launch" / "salus.launch.py"
MADE = "<!-- Made by scripts/docs_pages.py: change what it is made from. -->"
BEGIN, END = "<!-- graph: made by scripts/docs_pages.py -->", "<!-- end of graph -->"

FOR_AN_ARM = ("episode", "action_bridge")
"""Nodes that are started where there is no simulator."""

IN_PLACE = ("watch",)
"""Nodes that are started in place of another one, which the figures show."""

CONTROLLERS = {
    "geometry_msgs/TwistStamped",
    "std_msgs/Float64MultiArray",
    "trajectory_msgs/JointTrajectory",
}
"""What controllers take."""

HIDDEN = ("parameter_events", "rosout", "transition_event", "diagnostics", "clock", "tf_static")
"""Topics that every node has, or that say nothing of how they work together."""


@dataclass(frozen=True)
class Interfaces:
    """What a node publishes, hears and offers: types by name."""

    published: dict[str, str]
    heard: dict[str, str]
    services: dict[str, str]


def launched() -> list[str]:
    """Names of the nodes that the launch file can start, in its order."""
    calls = (
        node for node in ast.walk(ast.parse(LAUNCH.read_text())) if isinstance(node, ast.Call)
    )
    return [
        call.args[0].value
        for call in sorted(calls, key=lambda call: call.lineno)
        if isinstance(call.func, ast.Name)
        and call.func.id == "node"
        and isinstance(call.args[0], ast.Constant)
    ]


def running_graph() -> dict[str, Interfaces]:
    """Make every node active, one after the other, and ask it what it has."""
    import rclpy

    started = not rclpy.ok()
    if started:
        rclpy.init()
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "recorder": {"store_path": f"{folder}/a.zarr", "min_free_mb": 0},
            "predictor": {"model_path": _model_that_reads_joints(Path(folder))},
            "view": {"port": 0},  # a page may be open
        }
        found = {name: _interfaces(name, given.get(name, {})) for name in launched()}
    if started:
        rclpy.try_shutdown()
    return found


def _model_that_reads_joints(folder: Path) -> str:
    """A model without training: the default reads the joints where a robot has them."""
    from dataclasses import replace

    import numpy as np

    from salus_ros.core import schema
    from salus_ros.core.failures import FAILURE_TYPES
    from salus_ros.prediction.checkpoint import FILE_NAME, Checkpoint
    from salus_ros.prediction.config import PRESETS
    from salus_ros.prediction.features import Features
    from salus_ros.prediction.models import build_model
    from salus_ros.prediction.normalisation import Normalisation

    joints = ("position joint",)
    config = replace(PRESETS["tcn"], inputs=("signals", "validity", "joints"))
    names = schema.SIGNAL_NAMES

    def plain(size: int) -> Normalisation:
        return Normalisation(np.zeros(size, np.float32), np.ones(size, np.float32))

    features = Features(config.inputs, plain(len(names)), {"joints": plain(1)}, {"joints": joints})
    outputs = len(schema.HORIZONS_S) * len(FAILURE_TYPES) + len(schema.EPISODE_OUTPUTS)
    model = build_model(config, features.width, outputs)
    Checkpoint(
        state_dict=model.state_dict(),
        config=config,
        features=features,
        signal_names=names,
        horizons_s=schema.HORIZONS_S,
        failure_types=FAILURE_TYPES,
        split={"train": (), "validation": (), "test": ()},
        data_hash="",
        epoch=0,
        episode_outputs=schema.EPISODE_OUTPUTS,
    ).save(folder / FILE_NAME)
    return str(folder)


def _interfaces(name: str, parameters: dict[str, Any]) -> Interfaces:
    from rclpy.parameter import Parameter

    from salus_ros.nodes.base import SalusNode

    module = importlib.import_module(f"salus_ros.nodes.{name}")
    (cls,) = (
        one
        for one in vars(module).values()
        if isinstance(one, type)
        and issubclass(one, SalusNode)
        and one.__module__ == module.__name__
    )
    overrides = [Parameter(key, value=value) for key, value in parameters.items()]
    node = cls(namespace="/salus_docs", parameter_overrides=overrides)
    try:
        node.start()
        made = (node.publishers, node.subscriptions, node.services)
        return Interfaces(*(dict(_named(name, entities)) for entities in made))
    finally:
        node.close()
        node.destroy_node()


def _named(node: str, entities: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Names and types of what is the node's own work, names as in the launch file."""
    for one in entities:
        name = getattr(one, "topic_name", None) or one.service_name
        name = name.removeprefix("/salus_docs/").removeprefix("/")
        kind = getattr(one, "msg_type", None) or one.srv_type
        package = kind.__module__.split(".")[0]
        if name.split("/")[-1] in HIDDEN or package in ("rcl_interfaces", "lifecycle_msgs"):
            continue
        if package == "type_description_interfaces":
            continue
        yield re.sub(r"^camera/\w+/", "camera/*/", name), f"{package}/{kind.__name__}"


# The figure


def figure(graph: dict[str, Interfaces], nodes: list[str], outside: str = "") -> str:
    """A mermaid flowchart: who tells whom what.

    Args:
        graph: What the nodes have.
        nodes: Those that run.
        outside: What stands for all that is heard and not published, and for the controller.
    """
    told: dict[tuple[str, str], list[str]] = defaultdict(list)

    def commands(topic: str) -> bool:
        """Whether a topic is a controller's."""
        kinds = {graph[name].published[topic] for name in nodes if topic in graph[name].published}
        return bool(kinds & CONTROLLERS)

    topics = {topic for name in nodes for topic in (*graph[name].published, *graph[name].heard)}
    for topic in sorted(topics):
        publishers = [name for name in nodes if topic in graph[name].published]
        readers = [name for name in nodes if topic in graph[name].heard]
        for publisher in publishers or ([outside] if outside else []):
            for reader in readers or ([outside] if outside and commands(topic) else []):
                if reader != publisher:
                    told[publisher, reader].append(topic)

    lines = ["```mermaid", "flowchart LR"]
    lines += [f"  {_key(name)}[{name}]" for name in nodes]
    lines += [f"  {_key(outside)}([{outside}])"] if outside else []
    lines += [
        f'  {_key(publisher)} -->|"{"<br/>".join(names)}"| {_key(reader)}'
        for (publisher, reader), names in sorted(told.items())
    ]
    return "\n".join([*lines, "```"])


def _key(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def graph_section(graph: dict[str, Interfaces]) -> str:
    """The two figures of the graph."""
    shown = [name for name in graph if name not in IN_PLACE]
    simulated = [name for name in shown if name not in FOR_AN_ARM]
    own = [name for name in shown if name != "simulator"]
    return "\n\n".join([
        BEGIN,
        "With the built-in world:",
        figure(graph, simulated),
        "With an arm of your own, `source:=none robot:=panda`:",
        figure(graph, own, "your arm"),
        END,
    ])  # fmt: skip


def concepts_page(graph: dict[str, Interfaces]) -> str:
    """`docs/concepts.md` with the figures of the graph in their place."""
    text = (DOCS / "concepts.md").read_text()
    before, found, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if not (found and after):
        raise SystemExit(f"docs/concepts.md has no place for the graph: {BEGIN} and {END}")
    return before + graph_section(graph) + after


# Messages, topics, parameters


def messages_page(graph: dict[str, Interfaces]) -> str:
    """Topics and services of the nodes, and what each field of a message means."""
    lines = [
        "# Messages and topics",
        "",
        MADE,
        "",
        "Names are relative: a namespace per robot works. Beside these every node publishes its "
        "state on `/diagnostics` ([what it says](troubleshooting.md)) and has the services and "
        "parameters of a lifecycle node.",
        "",
        "## Topics",
        "",
        "`camera/*` stands for each camera; the controller's topic is that of the robot's "
        "profile, here panda.",
        "",
    ]
    topics: dict[str, str] = {}
    for one in graph.values():
        topics |= one.published | one.heard
    rows = []
    for topic, kind in sorted(topics.items()):
        publishers = [name for name, one in graph.items() if topic in one.published]
        readers = [name for name, one in graph.items() if topic in one.heard]
        rows.append((
            f"`{topic}`",
            _linked(kind),
            ", ".join(publishers) or "your arm",
            ", ".join(readers) or "whoever wants to",
        ))  # fmt: skip
    lines += [*table(("topic", "type", "from", "to"), rows), "", "## Services", ""]
    services = [
        (f"`{service}`", _linked(kind))
        for one in graph.values()
        for service, kind in sorted(one.services.items())
    ]
    lines += [*table(("service", "type"), services), ""]
    for file in sorted((ROOT / "salus_msgs").glob("*/*.[ms][sr][gv]")):
        lines += definition(file)
    return "\n".join(lines).rstrip() + "\n"


def _linked(kind: str) -> str:
    package, _, name = kind.partition("/")
    return f"[{name}](#{name.lower()})" if package == "salus_msgs" else kind


def definition(file: Path) -> list[str]:
    """A message or service as a table of its fields."""
    request, _, response = file.read_text().partition("\n---\n")
    about, rows = _fields(request)
    lines = [f"## {file.stem}", "", *([about, ""] if about else [])]
    lines += table(("field", "type", "meaning"), rows)
    if response:
        lines += ["", "Answer:", "", *table(("field", "type", "meaning"), _fields(response)[1])]
    return [*lines, ""]


def _fields(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """What a definition says of the whole, and its fields; comments stand before their fields."""
    about, pending, rows = "", [], []
    for line in text.strip().splitlines():
        code, _, comment = line.partition("#")
        if not line.strip():
            if pending and not rows and not about:
                about, pending = " ".join(pending), []
        elif not code.strip():
            pending.append(comment.strip())
        else:
            kind, name = code.split(maxsplit=1)
            name, _, value = name.strip().partition("=")
            meaning = " ".join([*pending, comment.strip()]).strip()
            shown = f"`{name.strip()}`" + (f" = {value.strip()}" if value else "")
            rows.append((shown, kind, meaning))
            pending = []
    return about, rows


def parameters_page() -> str:
    """Every parameter of every node."""
    from salus_ros.nodes.parameters import NODES

    lines = [
        "# Parameters",
        "",
        MADE,
        "",
        "[config/salus.yaml](../config/salus.yaml) has all of them at their defaults. Those "
        "marked *live* can be changed while the node runs (`ros2 param set`).",
        "",
    ]
    for cls in NODES:
        lines += [f"## {cls.node_name}", "", f"{(cls.__doc__ or '').splitlines()[0]}", ""]
        rows = [
            (
                f"`{name}`",
                f"`{spec.default}`" if spec.default != "" else "empty",
                spec.allowed + (", *live*" if spec.live else ""),
                spec.description,
            )
            for name, spec in cls.specs().items()
        ]
        lines += [*table(("parameter", "default", "allowed", "what it does"), rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines of a Markdown table."""
    cells = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]


# Commands


def commands_page() -> str:
    """What `--help` says of every verb, by typer's own documentation."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "typer", "salus_ros.cli.commands", "utils", "docs"),
            *("--name", "salus", "--title", "The salus command"),
        ],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TERM": "dumb", "COLUMNS": "100"},
    ).stdout
    text = html.unescape(made)
    text = text.replace("* `--help`: Show this message and exit.\n", "")
    text = re.sub(r"\*\*Options\*\*:\n\n(?=\n|$)", "", text)
    text = re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", text)
    # A group's verbs are told in short and cut off; what they do stands below.
    sections = re.split(r"(?m)^(#+ `.*`)$", text)
    lines = [sections[0]]
    for heading, body in zip(sections[1::2], sections[2::2], strict=True):
        lines += [heading, _link_verbs(body, heading.strip("# `"))]
    lines[0] = _link_verbs(lines[0], "salus").replace("\n\n", f"\n\n{MADE}\n\n", 1)
    return re.sub(r"\n{3,}", "\n\n", "".join(lines)).rstrip() + "\n"


def _link_verbs(body: str, command: str) -> str:
    before, found, listed = body.partition("**Commands**:\n\n")
    if not found:
        return body
    names = re.findall(r"(?m)^\* `([\w-]+)`", listed)
    links = [f"[{name}](#{command.replace(' ', '-')}-{name})" for name in names]
    return f"{before}**Commands**: {', '.join(links)}\n\n"


PAGES = ("concepts.md", "messages.md", "parameters.md", "commands.md")
FROM_THE_GRAPH = PAGES[:2]


def pages(names: Iterable[str] = PAGES) -> dict[Path, str]:
    """Pages that are made, by file."""
    graph = running_graph() if set(names) & set(FROM_THE_GRAPH) else {}
    make = {
        "concepts.md": lambda: concepts_page(graph),
        "messages.md": lambda: messages_page(graph),
        "parameters.md": parameters_page,
        "commands.md": commands_page,
    }
    return {DOCS / name: make[name]() for name in names}


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description="Write the pages that the code can tell.")
    parser.add_argument("pages", nargs="*", choices=[*PAGES, []], help="all by default")
    parser.add_argument("--check", action="store_true", help="compare only")
    given = parser.parse_args()
    stale = 0
    for file, text in pages(given.pages or PAGES).items():
        if file.exists() and file.read_text() == text:
            continue
        stale += 1
        if not given.check:
            file.write_text(text)
        said = "is not up to date" if given.check else "wrote"
        sys.stderr.write(f"{said}: {file.relative_to(ROOT)}\n")
    return int(given.check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
