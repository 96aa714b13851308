"""The changes: what mutmut makes of the rules, one at a time, minus what is no rule.

mutmut's operators and its settings (`[tool.mutmut]` in `pyproject.toml`) decide what is changed. Two things differ from
`mutmut run`: functions under `@lru_cache`, `@property` and routes are changed too (the conditions of the one-statement
refresh are such a function), and a change is put into the running process by giving the function other code, so
that nothing is imported anew. So are statements that a module writes once (`tests.mutation.constants`). `LEFT_OUT` says
what is not changed, and why.
"""

import difflib
import fnmatch
import hashlib
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.configuration import config
from mutmut.mutation.file_mutation import Mutation, MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

from tests.mutation.constants import find_dependants, is_statement

_LOGGING = m.Call(func=m.Attribute(value=m.Name("log")))


def _calls(*names: str) -> Any:
    """A call of a function or method of one of these names."""
    return m.OneOf(
        *(m.Call(func=m.Name(name)) for name in names), *(m.Call(func=m.Attribute(attr=m.Name(name))) for name in names)
    )


# What is not changed, with everything in it. The reasons are repeated in docs/mutation.md.
LEFT_OUT: dict[str, Any] = {
    "what a line of the log says": _LOGGING,
    "assertions and exceptions about broken assumptions": m.Raise() | m.Assert(),
    "how rows are locked, which SQLite does not do: tests/races and tests/linearizability": _calls("with_for_update"),
    "what the ORM does with objects already loaded": _calls("execution_options"),
    "the name of a column of a result": _calls("label"),
    "the name and type of a parameter of a statement: any other fails at once": _calls("bindparam", "_parameter"),
    "types, for the type checker": _calls("cast", "NewType"),
}

# Of these an argument is left out, and never None: a condition, a column, a branch.
LISTS = frozenset(
    ("and_", "case", "coalesce", "group_by", "max", "min", "or_", "order_by", "select", "union_all", "values", "where")
)
# What no rule is asked without, so that None is an error at once and says nothing about the tests.
HANDLES = frozenset(("connection", "database", "tx"))


@dataclass(frozen=True)
class Change:
    """One function, or one constant that is a statement, changed in one place."""

    name: str  # idp.tokens.turns.decide#3
    identity: str  # the same for the same change of the same function, wherever it stands
    module: str
    function: str  # `decide`, or `Class.method`, or the name of a constant
    path: str
    line: int
    lines: frozenset[int]  # a test that runs none of them cannot notice
    source: str
    diff: str


class _Rules(MutationVisitor):
    """mutmut's visitor, which passes decorated functions over, made to visit those too."""

    METADATA_DEPENDENCIES = (*MutationVisitor.METADATA_DEPENDENCIES, ParentNodeProvider)

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if any(m.matches(node, pattern) for pattern in LEFT_OUT.values()):
            return True
        if isinstance(node, cst.FunctionDef) and node.decorators and node.name.value != "__new__":
            return False
        return super()._skip_node_and_children(node)


def find_changes(only: list[str]) -> list[Change]:
    """All changes of the modules in `[tool.mutmut]`, or of those whose name fits one of the patterns."""
    found: list[Change] = []

    def wanted(name: str) -> bool:
        return not only or any(fnmatch.fnmatch(name, one) for one in only)

    for path in sorted(Path("idp").rglob("*.py")):
        module = ".".join(path.with_suffix("").parts)
        beginnings = [one.partition("*")[0] for one in only] or [""]
        may_be_wanted = any(one.startswith(module) or module.startswith(one) for one in beginnings)
        if may_be_wanted and config().should_mutate(path) and path.name != "__init__.py":
            found += _of_module(path, wanted)
    return found


def _of_module(path: Path, wanted: Callable[[str], bool]) -> Iterator[Change]:
    source = path.read_text()
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Rules(mutation_operators, get_ignored_lines(str(path), source, wrapper))
    wrapper.visit(visitor)
    parents, positions = wrapper.resolve(ParentNodeProvider), wrapper.resolve(PositionProvider)
    spans, raw = wrapper.resolve(ByteSpanPositionProvider), source.encode()
    texts: dict[cst.CSTNode, str] = {}
    module = ".".join(path.with_suffix("").parts)
    numbers: dict[str, int] = {}
    seen: set[str] = set()
    for mutation in visitor.mutations:
        owner = mutation.contained_by_top_level_function or _assignment(mutation.original_node, parents)
        if owner is None or not _says_something(mutation.original_node, mutation.mutated_node):
            continue
        name = _name(owner, parents)
        if not wanted(f"{module}.{name}") or not (isinstance(owner, cst.FunctionDef) or is_statement(module, name)):
            continue
        if owner not in texts:
            texts[owner] = _text(wrapper.module, owner)
        before, after = texts[owner], _changed(wrapper.module, owner, mutation, spans, raw)
        identity = hashlib.sha256(f"{module}.{name}\n{before}\n{after}".encode()).hexdigest()[:12]
        if before == after or identity in seen:
            continue
        seen.add(identity)
        numbers[name] = numbers.get(name, 0) + 1
        yield Change(
            name=f"{module}.{name}#{numbers[name]}",
            identity=identity,
            module=module,
            function=name,
            path=str(path),
            line=positions[mutation.original_node].start.line,
            lines=_lines(mutation.original_node, parents, positions) | find_dependants(path, name).lines,
            source=after,
            diff=_diff(before, after),
        )


def _assignment(node: cst.CSTNode, parents: Any) -> cst.SimpleStatementLine | None:
    """The assignment of a module's name that a node stands in."""
    while not isinstance(node, cst.SimpleStatementLine):
        if node not in parents:
            return None
        node = parents[node]
    first = node.body[0]
    return node if isinstance(first, cst.Assign | cst.AnnAssign) and isinstance(parents[node], cst.Module) else None


def _text(module: cst.Module, owner: cst.CSTNode) -> str:
    bare = owner.with_changes(leading_lines=[])
    if isinstance(bare, cst.FunctionDef):
        bare = bare.with_changes(decorators=[], lines_after_decorators=[])
    return module.code_for_node(bare)


def _changed(module: cst.Module, owner: cst.CSTNode, mutation: Mutation, spans: Any, raw: bytes) -> str:
    """The owner, changed. Where the node's text stands in the file as it is, it is replaced there: that is quick."""
    node, whole = spans[mutation.original_node], spans[owner]
    first, last = whole.start, whole.start + whole.length
    start, end = node.start, node.start + node.length
    if raw[start:end].decode() == module.code_for_node(mutation.original_node):
        beginning = raw.rfind(b"\n", 0, first) + 1
        new = module.code_for_node(mutation.mutated_node).encode()
        return textwrap.dedent((raw[beginning:start] + new + raw[end:last]).decode()) + "\n"
    changed = deep_replace(owner, mutation.original_node, mutation.mutated_node)
    assert isinstance(changed, type(owner))
    return _text(module, changed)


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:2] not in ("--", "++", "@@"))


def _says_something(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Each text and each argument is broken in one way, not in three, and in one that a missing test could overlook."""
    if isinstance(before, cst.SimpleString) and isinstance(after, cst.SimpleString):
        return before.value.lower() != after.value.lower() and not _is_prose(before)
    if not isinstance(before, cst.Call) or not isinstance(after, cst.Call) or before.func is not after.func:
        return True
    name = before.func.attr.value if isinstance(before.func, cst.Attribute) else getattr(before.func, "value", "")
    is_left_out = len(after.args) < len(before.args)
    place = next((n for n, arg in enumerate(after.args) if arg is not before.args[n]), len(after.args))
    given = before.args[place]
    if _is_prose(given.value) or (isinstance(given.value, cst.Name) and given.value.value in HANDLES):
        return False
    if name in LISTS:
        return is_left_out
    # A keyword of a record has a default more often than one of a function.
    return not is_left_out or (given.keyword is not None and str(name)[:1].isupper())


def _is_prose(node: cst.CSTNode) -> bool:
    """A sentence for a person or a log."""
    return isinstance(node, cst.SimpleString) and " " in node.value


def _name(function: cst.CSTNode, parents: Any) -> str:
    if isinstance(function, cst.SimpleStatementLine):
        first = function.body[0]
        assert isinstance(first, cst.Assign | cst.AnnAssign)
        target = first.targets[0].target if isinstance(first, cst.Assign) else first.target
        return target.value if isinstance(target, cst.Name) else ""
    assert isinstance(function, cst.FunctionDef)
    owner = parents.get(parents[function])
    return f"{owner.name.value}.{function.name.value}" if isinstance(owner, cst.ClassDef) else function.name.value


def _lines(node: cst.CSTNode, parents: Any, positions: Any) -> frozenset[int]:
    """The lines of the simple statement around a node; of a compound one, from its first line to the node's last."""
    last = positions[node].end.line
    around = node
    while not isinstance(around, cst.SimpleStatementLine | cst.BaseCompoundStatement):
        around = parents[around]
    if isinstance(around, cst.SimpleStatementLine | cst.FunctionDef):  # of a function: its default values
        last = positions[around].end.line
    return frozenset(range(positions[around].start.line, last + 1))


def apply(change: Change) -> None:
    """Put a change into this process. Everybody who holds the function has it changed; what is made of it is remade."""
    names = vars(importlib.import_module(change.module))
    if change.function in names and is_statement(change.module, change.function):
        exec(compile(change.source, change.path, "exec"), names)
    else:
        target = _function(change)
        made: dict[str, Any] = {}
        exec(compile(change.source, change.path, "exec"), target.__globals__, made)
        changed = made[target.__name__]
        target.__code__ = changed.__code__
        target.__defaults__ = changed.__defaults__
        target.__kwdefaults__ = changed.__kwdefaults__
    for assignment in find_dependants(Path(change.path), change.function).remade:
        exec(compile(assignment, change.path, "exec"), names)


def _function(change: Change) -> FunctionType:
    found: Any = importlib.import_module(change.module)
    for part in change.function.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, staticmethod | classmethod):
        found = found.__func__
    found = inspect.unwrap(found)
    assert isinstance(found, FunctionType), change.name
    return found
