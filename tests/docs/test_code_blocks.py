"""Code in the guides is code: what Python, the shell and this repository's own parsers can read, they read.

JavaScript, Go and Java have no parser here. They were tried by hand, and the guides say with which versions; the Flask
text that `idp clients create` prints is run in tests/examples/test_flask_snippet.py.
"""

import ast
import re
import subprocess
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, name_of


def _parse_shell(text: str) -> None:
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SyntaxError(done.stderr)


PARSERS: dict[str, Callable[[str], object]] = {
    "python": ast.parse,
    "sh": _parse_shell,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
UNREAD = {"", "go", "java", "js", "nginx", "sql"}


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """(language, code) of each fenced block, also of those that stand within a list."""
    blocks = re.findall(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [(language, textwrap.dedent(code)) for _, language, code in blocks]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
def test_every_block_can_be_read_in_its_language(page: Path) -> None:
    for language, code in blocks_of(page):
        assert language in PARSERS.keys() | UNREAD, f"no parser for {language}, and it is not said that there is none"
        if language in PARSERS:
            PARSERS[language](code)


@pytest.mark.parametrize(
    ("language", "wrong"), [("python", "def f(:\n"), ("sh", "while true; do\n"), ("toml", "a = \n"), ("yaml", "a: [\n")]
)
def test_what_is_no_code_is_noticed(language: str, wrong: str) -> None:
    with pytest.raises((SyntaxError, ValueError, yaml.YAMLError)):
        PARSERS[language](wrong)


def test_there_is_something_to_read() -> None:
    languages = {language for page in PAGES for language, _ in blocks_of(page)}

    assert {"python", "sh"} <= languages
