"""The clauses that tests are marked with: `@pytest.mark.spec("RFC 9700", "4.14.2")`.

`python -m tests.docs.specifications` prints every clause with its tests.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT

Clause = tuple[str, str]


def marked_tests() -> dict[Clause, list[str]]:
    """Per clause, the tests that are marked with it, as `file::test`."""
    found: dict[Clause, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for clause, name in _clauses_in(file):
            found[clause].append(f"{file.relative_to(ROOT).as_posix()}::{name}")
    return found


def _clauses_in(file: Path) -> Iterator[tuple[Clause, str]]:
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for mark in node.decorator_list:
                yield from ((clause, node.name) for clause in _clauses_of(mark))
    for node in tree.body:  # pytestmark = [pytest.mark.spec(…), …] speaks for the whole file
        if isinstance(node, ast.Assign) and any(
            isinstance(to, ast.Name) and to.id == "pytestmark" for to in node.targets
        ):
            yield from ((clause, "*") for clause in _clauses_of(node.value))


def _clauses_of(node: ast.AST) -> Iterator[Clause]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "spec":
            name, section = (ast.literal_eval(argument) for argument in call.args)
            yield (str(name).removeprefix("OIDC ") if "Logout" in name else name), section


def main() -> None:
    """Print the index."""
    for (name, section), tests in sorted(marked_tests().items()):
        print(f"{name} §{section}")  # noqa: T201
        for test in tests:
            print(f"    {test}")  # noqa: T201


if __name__ == "__main__":
    main()
