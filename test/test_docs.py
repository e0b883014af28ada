"""The documentation is what the code does: made pages are up to date, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from diagnostic_texts import diagnostic_texts

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def docs_pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        import docs_pages

        yield docs_pages
        del sys.modules["docs_pages"]


def up_to_date(made):
    for file, text in made.items():
        assert file.read_text() == text, "run: python scripts/docs_pages.py"


def test_figure_and_topics_are_those_of_running_nodes(docs_pages):
    up_to_date(docs_pages.pages(docs_pages.FROM_THE_GRAPH))


@pytest.mark.parametrize("name", ["parameters.md", "commands.md"])
def test_a_made_page_is_up_to_date(docs_pages, name):
    up_to_date(docs_pages.pages([name]))


def test_the_figure_has_what_the_nodes_tell_each_other(docs_pages):
    vla = docs_pages.Interfaces({"action": "a/A"}, {"episode": "a/E"}, {})
    world = docs_pages.Interfaces({"episode": "a/E"}, {"action": "a/A"}, {})
    drawn = docs_pages.figure({"vla": vla, "world": world}, ["vla", "world"])
    assert '  vla -->|"action"| world' in drawn
    assert '  world -->|"episode"| vla' in drawn
    alone = docs_pages.figure({"vla": vla}, ["vla"], "your arm")
    assert '  your_arm -->|"episode"| vla' in alone


def told() -> set[str]:
    """What the tables of the troubleshooting page say that a node tells."""
    text, _, _ = (DOCS / "troubleshooting.md").read_text().partition("## What ends a node")
    return set(re.findall(r"(?m)^\| `(.+?)` \|", text))


def test_every_diagnostic_text_has_an_entry():
    missing = set(diagnostic_texts()) - told()
    assert not missing, f"docs/troubleshooting.md lacks: {sorted(missing)}"


def test_no_entry_is_of_a_text_that_is_gone():
    assert told() <= set(diagnostic_texts())


PAGES = sorted(
    file
    for file in ROOT.rglob("*.md")
    if not {".venv", "build", "install", "log", "runs"} & set(file.relative_to(ROOT).parts)
    and not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
)
FENCE = re.compile(r"(?ms)^```.*?^```")


def anchors(file: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", FENCE.sub("", file.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        same = sum(one == slug or one.startswith(f"{slug}#") for one in found)
        found.add(f"{slug}#{same}" if same else slug)
    return {one.replace("#", "-") for one in found}


def dead_links(file: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", file.read_text())):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        there = target.exists()
        if not there or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file):
    assert dead_links(file) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`-three\n[a](#one-two-three) [b](#four) [c](gone.md) [d](page.md)\n"
    )
    assert dead_links(page) == ["#four", "gone.md"]


def test_the_index_names_every_page():
    named = set(re.findall(r"\]\((\w+\.md)\)", (DOCS / "README.md").read_text()))
    assert named == {file.name for file in DOCS.glob("*.md")} - {"README.md"}


def test_docstrings_become_pages(tmp_path):
    pdoc = [sys.executable, "-m", "pdoc", "--docformat", "google", "-o", str(tmp_path)]
    subprocess.run([*pdoc, "salus_ros.core"], check=True, cwd=ROOT)
    page = (tmp_path / "salus_ros" / "core" / "failures.html").read_text()
    assert "FailureType" in page
