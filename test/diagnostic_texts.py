"""The texts that nodes tell a person, read from the source: `…` stands for what varies."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "salus_ros"

TOLD_BY_CALLS = {
    ("Report", 1): ["nodes"],
    ("ObservationError", 0): [
        "control",
        "messages/depth.py",
        "messages/images.py",
        "messages/joints.py",
        "messages/labels.py",
        "messages/pixels.py",
        "messages/signals.py",
        "messages/stamps.py",
        "nodes",
        "policies/runner.py",
        "recording",
    ],
}
"""Functions, and the argument that a person reads, by the rooms that nodes have it from."""

TOLD_BY_FUNCTIONS = {
    "control/arm.py": ["tick", "_silent_joints", "_reason", "_check_tracking"],
    "control/gate.py": ["begin", "judge", "decide", "_alarmed", "_blind"],
    "nodes/predictor.py": ["_report"],
    "prediction/calibration.py": ["doubt"],
    "nodes/vla.py": ["_silent_inputs"],
    "recording/clips.py": ["warning", "_refusal"],
    "recording/flight.py": ["refusal"],
    "recording/health.py": ["warning"],
    "recording/recorder.py": ["warning"],
    "recording/writer.py": ["warning"],
    "recording/assembly.py": ["_make_room", "finish"],
    "recording/sync.py": ["lack"],
}
"""Functions whose every sentence ends up in a report."""

NO_TEXTS = (
    "rate_hz",
    "signals ",
    "steps ",
    "age of ",
    "failure types",
    ", ",
    "for …",
    "… ms",
    "not known",
)
"""How names of figures begin, and pieces of a text that stands whole elsewhere."""


def texts_of(expression: ast.expr, scope: ast.AST) -> list[str]:
    """What an expression can be, where it is made of literals."""
    match expression:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(p.value if isinstance(p, ast.Constant) else "…" for p in parts)]
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            first, second = texts_of(left, scope) or ["…"], texts_of(right, scope) or ["…"]
            return [a + b for a in first for b in second]
        case ast.BoolOp(values=values):
            return [text for value in values for text in texts_of(value, scope)]
        case ast.IfExp(body=body, orelse=other):
            return texts_of(body, scope) + texts_of(other, scope)
        case ast.Name(id=name):
            return [
                text
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign)
                and any(isinstance(one, ast.Name) and one.id == name for one in node.targets)
                for text in texts_of(node.value, ast.Module([], []))
            ]
    return []


def _functions(file: Path) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(file.read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _said_in_calls() -> Iterator[str]:
    for (name, place), rooms in TOLD_BY_CALLS.items():
        for room in rooms:
            path = PACKAGE / room
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                for function in _functions(file):
                    for call in ast.walk(function):
                        if (
                            isinstance(call, ast.Call)
                            and isinstance(call.func, ast.Name)
                            and call.func.id == name
                            and len(call.args) > place
                        ):
                            yield from texts_of(call.args[place], function)


def _sentences(node: ast.AST) -> Iterator[str]:
    """Strings that a person could read, f-strings as a whole."""
    if isinstance(node, ast.Constant | ast.JoinedStr):
        yield from (text for text in texts_of(node, node) if " " in text.strip(" ;:"))
        return
    for child in ast.iter_child_nodes(node):
        yield from _sentences(child)


def _said_in_functions() -> Iterator[str]:
    for file, names in TOLD_BY_FUNCTIONS.items():
        found = {function.name: function for function in _functions(PACKAGE / file)}
        for name in names:
            for statement in found[name].body:
                docstring = isinstance(statement, ast.Expr) and isinstance(
                    statement.value, ast.Constant
                )
                if not docstring:
                    yield from _sentences(statement)


def diagnostic_texts() -> list[str]:
    """All texts, each once."""
    said = dict.fromkeys([*_said_in_calls(), *_said_in_functions()])
    return [text for text in said if text and not text.startswith(NO_TEXTS)]
