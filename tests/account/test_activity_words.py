"""Every kind of row that the house writes about a person has words on the page "Activity"."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from idp.account.activity_words import GROUP_NAMES, KINDS, Group, kinds_of, shown_activity
from idp.audit.history import HistoryRow
from idp.db.models import EndReason, SessionKind
from tests.support.heart import START

HOUSE = Path(__file__).parents[2] / "idp"


def row(kind: str, **given: object) -> HistoryRow:
    usual = {
        "id": "x",
        "occurred_at": START,
        "kind": kind,
        "actor": "person",
        "ip_address": "192.0.2.7",
        "details": {},
        "client_name": None,
        "session_id": None,
        "session_kind": None,
        "agent_name": "",
        "os_name": "",
        "device_name": "",
        "label": "",
        "app_name": None,
        "started_at": None,
        "last_active_at": None,
        "ended_at": None,
    }
    return HistoryRow(**{**usual, **given})  # type: ignore[arg-type]


def written_kinds() -> dict[str, str]:
    """Every kind that some `record(tx, kind, user_id=…)` of the house may write, and where."""
    found: dict[str, str] = {}
    for path in HOUSE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and is_about_a_person(call):
                        found |= dict.fromkeys(kinds_in(call.args[1], function, tree), path.name)
    return found


def is_about_a_person(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name == "record" and any(keyword.arg == "user_id" for keyword in call.keywords) and len(call.args) >= 2


def kinds_in(argument: ast.expr, function: ast.FunctionDef, tree: ast.Module) -> Iterator[str]:
    """The texts that an argument may be: written there, or given by the callers of a helper in the same file."""
    if not isinstance(argument, ast.Name):
        yield from texts_in(argument)
        return
    for statement in ast.walk(function):
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == argument.id:
            yield from texts_in(statement.value)
    names = [parameter.arg for parameter in function.args.args]
    if argument.id in names:
        place = names.index(argument.id)
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == function.name:
                given = call.args[place] if len(call.args) > place else None
                caller = next(
                    one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and call in ast.walk(one)
                )
                if given is not None:
                    yield from kinds_in(given, caller, tree)


def texts_in(expression: ast.expr) -> Iterator[str]:
    branches = [expression.body, expression.orelse] if isinstance(expression, ast.IfExp) else [expression]
    for branch in branches:
        if isinstance(branch, ast.Constant) and isinstance(branch.value, str):
            yield branch.value


def test_every_kind_that_concerns_a_person_has_words() -> None:
    written = written_kinds()

    assert {"sign_in", "sessions_ended", "participation_ended", "refresh_skipped", "user_disabled"} <= set(written)
    assert {kind: place for kind, place in written.items() if kind not in KINDS} == {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_hold_whatever_is_still_known(kind: str) -> None:
    purged = shown_activity(row(kind, details={"reason": "something new"}))
    full = shown_activity(
        row(
            kind,
            details={"reason": EndReason.IDLE, "browsers": 2, "apps": 1},
            client_name="Wiki {0}",
            session_id="s",
            session_kind=SessionKind.APP,
            app_name="Tool",
            label="Work laptop",
            started_at=START,
            last_active_at=START,
            ended_at=START,
        )
    )

    for entry in (purged, full):
        assert entry.what
        assert "{" not in entry.what.replace("Wiki {0}", "")
        assert not entry.what.endswith(".")


def test_every_group_has_a_name_and_kinds() -> None:
    assert set(GROUP_NAMES) == set(Group)
    assert all(kinds_of(group) for group in Group)
    assert frozenset().union(*(kinds_of(group) for group in Group)) == kinds_of(None)


def test_who_changed_a_password_is_told() -> None:
    assert shown_activity(row("password_set")).what == "You changed your password"
    assert shown_activity(row("password_set", actor="administrator:cli")).what == "An administrator set your password"


def test_several_ends_at_once_are_counted() -> None:
    told = shown_activity(row("sessions_ended", details={"reason": "signed_out_everywhere", "browsers": 2, "apps": 1}))

    assert told.what == "2 browsers and 1 app or tool were signed out"
    assert told.note == "You signed out everywhere"


@pytest.mark.parametrize(
    ("details", "title"),
    [
        ({"label": "Work laptop"}, "You named Drydock CLI “Work laptop”"),
        ({"label": ""}, "You gave Drydock CLI its usual name back"),
        ({}, "You changed the name of Drydock CLI"),
    ],
)
def test_a_renaming_tells_the_name_of_then_and_not_todays(details: dict[str, str], title: str) -> None:
    renamed = row(
        "session_renamed", session_kind=SessionKind.APP, app_name="Drydock CLI", label="Today", details=details
    )

    assert shown_activity(renamed).what == title


def test_several_things_that_were_ended_are_spoken_of_as_several() -> None:
    details = {"browsers": 1, "apps": 2, "reason": EndReason.ENDED_BY_PERSON}

    assert shown_activity(row("sessions_ended", details=details)).note == "You signed them out on the account page"
