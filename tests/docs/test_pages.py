"""Every page leads where it says: links, files, tests, functions and commands that are named are there."""

import re
from pathlib import Path

import click
import pytest

from idp.cli import main
from tests.docs.pages import PAGES, ROOT, anchors_of, code_of, excerpts_of, links_of, name_of

_FILE = re.compile(r"(?:idp|tests|examples|migrations|config|docs|requirements|\.ci)/[\w./-]*")
_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
_FUNCTIONS = re.compile(r"`(idp/[\w/]+\.py)`: ((?:`\w+`(?: \([^)]*\))?(?:, )?)+)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links_of(page.read_text("utf-8")):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link} leads to nothing"
        if anchor:
            assert anchor in anchors_of(file), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_test_and_function_that_is_named_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for code in code_of(text):
        if match := _TEST.fullmatch(code):
            file, name = match.groups()
            assert re.search(rf"def {name}\(", (ROOT / file).read_text("utf-8")), f"{code} is no test"
        elif _FILE.fullmatch(code):
            assert (ROOT / code).exists() or (page.parent / code).exists(), f"{code} is not there"
    for file, names in _FUNCTIONS.findall(text):
        source = (ROOT / file).read_text("utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^ *(?:def|class) {name}\b|^{name}\b.* = ", source, re.MULTILINE), (
                f"{file} has no {name}"
            )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_excerpt_stands_in_the_file_that_it_names(page: Path) -> None:
    for file, lines in excerpts_of(page.read_text("utf-8")):
        assert lines in (ROOT / file).read_text("utf-8"), f"{file} says something else now than this page shows of it"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    text = re.sub(r" *\\\n *", " ", page.read_text("utf-8"))
    for code in code_of(text):
        found = re.search(r"(?:^|[ /|])idp ([a-z].*)", code.partition("  #")[0])
        if not found or "systemd" in code or code.startswith(("CREATE", "#")):
            continue
        words = found.group(1).split()
        command, context = _find_command(words)
        assert command is not None, f"{code}: no such command"
        known = {option for parameter in command.get_params(context) for option in _names(parameter)}
        for option in _OPTION.findall(found.group(1)):
            assert option in known, f"{code}: no {option}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_is_named_alone_is_one_of_some_command(page: Path) -> None:
    known = _options_below(main, click.Context(main)) | {"--no-browser"}  # of examples/cli_app
    for code in code_of(page.read_text("utf-8")):
        if code.startswith("--"):
            assert set(_OPTION.findall(code)) <= known, f"{code} is an option of no command"


def _names(parameter: click.Parameter) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]  # of `--pkce/--no-pkce`, the latter is secondary


def _options_below(command: click.Command, context: click.Context) -> set[str]:
    options = {option for parameter in command.get_params(context) for option in _names(parameter)}
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            options |= _options_below(below, click.Context(below, parent=context))
    return options


def _find_command(words: list[str]) -> tuple[click.Command | None, click.Context]:
    command: click.Command | None = main
    context = click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(context, words.pop(0))
        if command is not None:
            context = click.Context(command, parent=context)
    return command, context


def test_decisions_named_in_the_code_are_those_on_paper() -> None:
    decisions = {path.name[:4]: path.name for path in (ROOT / "docs" / "adr").glob("0*.md")}
    for file in [*(ROOT / "idp").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")]:
        for number, rest in re.findall(r"docs/adr/(\d{4})([\w-]*(?:\.md)?)", file.read_text("utf-8")):
            assert number in decisions, f"{file} names ADR {number}"
            assert not rest or decisions[number].startswith(number + rest), f"{file} names {number}{rest}"


def test_every_decision_is_listed_and_numbered_without_a_gap() -> None:
    folder = ROOT / "docs" / "adr"
    names = sorted(path.name for path in folder.glob("0*.md"))

    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    assert set(names) <= set(links_of((folder / "README.md").read_text("utf-8")))
    for name in names:
        assert (folder / name).read_text("utf-8").startswith(f"# {name[:4]} ")
