"""What the tests of this folder read: the Markdown pages of the repository, their links, code and tables."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")],
    key=lambda path: path.as_posix(),
)


def name_of(page: Path) -> str:
    """A page as test output names it."""
    return page.relative_to(ROOT).as_posix()


def links_of(text: str) -> list[str]:
    """Targets of links and images, code aside."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def without_code(text: str) -> str:
    """The page's prose: no fenced blocks, no inline code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors_of(page: Path) -> set[str]:
    """The anchors that a renderer makes from the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(text: str) -> list[str]:
    """Inline code and the lines of fenced blocks."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [*re.findall(r"`([^`\n]+)`", prose), *(line for block in blocks for line in block.splitlines())]


def table_under(page: Path, heading: str) -> Iterator[list[str]]:
    """The cells of each row of the first table under a heading, its head left out."""
    section = page.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    for row in rows[2:]:
        yield [cell.strip() for cell in row.strip().strip("|").split(" | ")]


def excerpts_of(text: str) -> list[tuple[str, str]]:
    """Blocks that say which file they are taken from: (file, lines)."""
    return re.findall(r"^```\w+ file=(\S+)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
