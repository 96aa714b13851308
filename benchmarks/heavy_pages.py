"""The pages of a person with ten thousand of everything, and signing out everywhere with a thousand participations.

At one connection: what one person waits for. The slowest of these are shown with the middle, since a page is looked at
once and not on average.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.growing import Installation, ends_of_everything, page
from benchmarks.load import Measured, Operation
from benchmarks.population import MANY, cookie_from, identifier
from benchmarks.runner import say_to_terminal as say
from idp.audit.history import Place, write_place
from idp.kit.opaque import base64url

PAGE_MILLISECONDS, END_MILLISECONDS = 100, 300


@dataclass(frozen=True)
class Waited:
    """One page: how long, and how long it may be."""

    name: str
    measured: Measured
    service: float
    database: float
    limit: int


def measure_pages(one: Installation, *, is_quick: bool) -> list[Waited]:
    """Everything, on the large installation."""
    clients = one.world.applications
    person = one.crowd.heavy(clients)
    cookie, seconds = cookie_from(identifier("h", 1)), 0.2 if is_quick else 3.0
    found = []
    for name, path in _pages(one, person):
        asked = [page(one, path, cookie)]
        one.send(asked, connections=1, seconds=seconds / 3)
        found.append(_wait(one, name, asked, PAGE_MILLISECONDS, seconds=seconds))
    people = one.crowd.people(4 if is_quick else 40)
    one.crowd.many_sessions(people, clients[:50], sessions=20)
    for name, asked in (
        ("20 browsers, 1,000 participations in 50 applications: the question", list(_questions(one, people))),
        ("… and signing out everywhere", list(ends_of_everything(one, people))),
    ):
        warming = len(people) // 4
        one.send(asked[:warming], connections=1, seconds=60, once=True)
        found.append(_wait(one, name, asked[warming:], END_MILLISECONDS, seconds=60, once=True))
    return found


def _wait(
    one: Installation, name: str, asked: Sequence[Operation], limit: int, *, seconds: float, once: bool = False
) -> Waited:
    before = one.used()
    measured = one.send(asked, connections=1, seconds=seconds, once=once)
    after = one.used()
    service, database = ((after[place] - before[place]) / measured.operations * 1e3 for place in (0, 1))
    say(f"{name:70} {measured.p50 / 1000:6.1f} / {measured.p95 / 1000:6.1f} ms; {service:.0f} + {database:.0f} ms")
    return Waited(name, measured, service, database, limit)


def _questions(one: Installation, people: range) -> Iterator[Operation]:
    for number in people:
        yield page(one, "/account/sessions/end-everywhere", cookie_from(identifier("b", number)))


def _pages(one: Installation, person: int) -> Iterator[tuple[str, str]]:
    """Names and addresses; deep pages begin in the middle of what there is."""
    user, first = identifier("u", person), MANY * MANY
    yield "*Activity*, 10,000 rows", "/account/activity"
    yield "*Activity*, a page in the middle", f"/account/activity?after={write_place(_middle_row(one, user))}"
    yield "*Activity*, one group", "/account/activity?group=failed"
    yield "*Activity*, searched, found at once", "/account/activity?q=firefox"
    yield "*Activity*, searched, found nowhere", "/account/activity?q=not-to-be-found"
    yield "*Signed-in devices*, 5,000 browsers, 5,000 tools, 10,000 over", "/account/sessions"
    moments = _middle_sessions(one, user)
    for name in ("browsers", "apps", "ended"):
        yield f"*Signed-in devices*, the middle of “{name}”", f"/account/sessions?{name}={moments[name]}"
    yield "a browser with 1,000 applications and 5,000 tools", f"/account/sessions/{identifier('h', 1)}"
    yield "a tool", f"/account/sessions/{identifier('t', 77)}"
    yield "an ended session with 10,000 notices", f"/account/sessions/{identifier('e', first)}"
    yield "its receipt", f"/account/receipts/{identifier('o', first)}"
    yield "the question before everywhere", "/account/sessions/end-everywhere"
    yield "the question before everywhere else", "/account/sessions/end-others"
    yield "the question before what lies unused", "/account/sessions/end-unused?days=7"


def _middle_row(one: Installation, user: str) -> Place:
    row = one.crowd.connection.execute(
        "SELECT occurred_at, id FROM audit_events WHERE user_id = %s ORDER BY 1 DESC, 2 DESC OFFSET 5000 LIMIT 1",
        [user],
    ).fetchone()
    assert row is not None
    return Place(*row)


def _middle_sessions(one: Installation, user: str) -> dict[str, str]:
    """Cursors as the page itself writes them (`idp.sessions.devices`)."""
    asked = {
        "browsers": "last_active_at, id FROM sessions WHERE user_id = %s AND ended_at IS NULL AND kind = 'browser'",
        "apps": "last_active_at, id FROM sessions WHERE user_id = %s AND ended_at IS NULL AND kind = 'app'",
        "ended": "ended_at, id FROM sessions WHERE user_id = %s AND ended_at IS NOT NULL",
    }
    cursors = {}
    for name, rest in asked.items():
        statement = f"SELECT {rest} ORDER BY 1 DESC, 2 DESC OFFSET 2500 LIMIT 1"
        row = one.crowd.connection.execute(statement, [user]).fetchone()
        assert row is not None
        cursors[name] = base64url(f"{row[0]}:{row[1]}".encode())
    return cursors
