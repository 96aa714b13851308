"""Statements that a module writes once, as constants: what of the module hangs on them, and what runs them.

A constant is made when its module is imported, which happens before any test. So a changed one is made anew, with all
that is made of it, and the tests that can notice are those that run a line which uses one of them.
"""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement

_BODIES = ("body", "orelse", "finalbody", "handlers")


@dataclass(frozen=True)
class Dependants:
    """What a change of a constant, or of a function that makes constants, reaches within its module."""

    remade: tuple[str, ...]  # assignments to execute again, in order
    lines: frozenset[int]  # of functions, that use any of them


def is_statement(module: str, name: str) -> bool:
    """Whether a module's name is a statement, a part of one, or a collection of those."""
    return _is_statement(getattr(importlib.import_module(module), name, None))


def _is_statement(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_is_statement, value))
    if isinstance(value, dict):
        return any(map(_is_statement, value.values()))
    return isinstance(value, ClauseElement)


@cache
def find_dependants(path: Path, name: str) -> Dependants:
    """What hangs on this name of the module at `path`."""
    source = path.read_text()
    tree = ast.parse(source)
    reached, remade = {name}, []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and not reached.isdisjoint(_names(statement)):
            reached.add(statement.name)  # it may be what makes the next one
        if isinstance(statement, ast.Assign | ast.AnnAssign) and not reached.isdisjoint(_names(statement.value)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            reached |= _names(targets)
            remade.append(ast.unparse(statement))
    made = reached - {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
    lines = {line for function in _functions(tree) for line in _lines_that_use(function, made)}
    return Dependants(tuple(remade), frozenset(lines))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node


def _lines_that_use(function: ast.FunctionDef, names: set[str]) -> Iterator[int]:
    for node in ast.walk(function):
        if not isinstance(node, ast.stmt) or isinstance(node, ast.FunctionDef):
            continue
        # Of a compound statement its head only: what is inside comes by itself.
        parts = [
            value for field, value in ast.iter_fields(node) if field not in ("body", "orelse", "finalbody", "handlers")
        ]
        if any(not names.isdisjoint(_names(part)) for part in parts):
            last = node.body[0].lineno - 1 if hasattr(node, "body") else node.end_lineno or node.lineno
            yield from range(node.lineno, max(node.lineno, last) + 1)


def _names(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_names, part))
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} if isinstance(part, ast.AST) else set()
