"""An installation in use, in bulk: a hundred or a million sessions with a past, and one person with ten thousand rows.

The shape: everybody has a browser session with one application, a session of an app of their own, an older session that
is over with its receipt and its told notice, a consent, and four rows of history. Rows are written without checking
foreign keys (`session_replication_role`), which would take most of the time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.population import MANY, Population, identifier, sql_identifier

# Within half an hour, so that a refresh has no activity to note; of every fourth two hours before, so that it has.
_LATELY = "(%(now)s - ((n::bigint * 7919) %% 1800) * 1000000 - CASE WHEN n %% 4 = 0 THEN 7200000000 ELSE 0 END)"
_LONG_AGO = "(%(now)s - 86400000000 * (1 + (n::bigint * 7919) %% 80))"
# From one browser of a person to the next.
_SHIFT = 10**9
HEAVY_TOOLS = HEAVY_BROWSERS = 5_000
HEAVY_HISTORY = 10_000
HEAVY_APPLICATIONS = 1_000
HEAVY_NOTICES = 10_000


@dataclass
class Crowd(Population):
    """Further kinds: e ended sessions, o receipts, d notices, q history; of the heavy person h browsers, t tools."""

    moment: str = _LATELY

    def fill(self, count: int, *, app_id: str, web_id: str) -> range:
        """So many people, with twice as many live sessions and token families."""
        people = self.people(count)
        with self._unchecked():
            self.browsers(people)
            self.apps(people, app_id)
            self.applications(people, [web_id])
            self.consents(people, web_id, "openid profile email")
            self._past(people, "%(web)s::text", web=web_id)
            for place, kind in enumerate(("sign_in", "consent_given", "app_signed_in", "sessions_ended")):
                self._history(people, kind, number=f"n * 4 + {place}")
        self.settle()
        return people

    def heavy(self, clients: Sequence[str]) -> int:
        """One person with 10,000 live sessions, 10,000 that are over, 10,000 rows of history; one browser of theirs
        (number 1) has 1,000 applications and 5,000 tools, one end (number 10,001) 10,000 notices."""
        (person,) = self.people(1)
        user, first = f"'{identifier('u', person)}'", f"'{identifier('h', 1)}'"
        of_clients = "(%(clients)s::text[])[1 + n %% 1000]"
        with self._unchecked():
            usual, self.moment = self.moment, "(%(now)s - n * 1000000)"
            browsers, tools = range(1, HEAVY_BROWSERS + 1), range(1, HEAVY_TOOLS + 1)
            own = {"user_id": user, "kind": "'browser'", "secret_hash": "%(text_hash)s"}
            self._sessions(browsers, "h", own | {"os_name": "'Linux ' || n %% 7"})
            own = {"user_id": user, "kind": "'app'", "client_id": of_clients, "parent_id": first}
            self._sessions(tools, "t", own | {"device_name": "'build-' || n"}, clients=list(clients))
            columns = {
                "id": sql_identifier("j"),
                "session_id": first,
                "client_id": of_clients,
                "sid": "'j' || lpad(n::text, 21, '0')",
                "started_at": "%(now)s",
            }
            self._insert(range(1, HEAVY_APPLICATIONS + 1), "session_clients", columns, clients=list(clients))
            numbers = range(MANY * MANY, MANY * MANY + HEAVY_HISTORY)
            self._past(numbers, of_clients, user=user, clients=list(clients))
            self._notices(
                range(2 * MANY * MANY, 2 * MANY * MANY + HEAVY_NOTICES),
                of_clients,
                event=f"'{identifier('o', numbers[0])}'",
                session=f"'{identifier('e', numbers[0])}'",
                clients=list(clients),
            )
            kinds = "(ARRAY['sign_in', 'sign_in_refused', 'app_signed_in', 'sessions_ended'])[1 + n %% 4]"
            self._history(numbers, kinds, user=user, is_quoted=False)
            self.moment = usual
        self.settle()
        return person

    def many_sessions(self, people: range, clients: Sequence[str], *, sessions: int) -> None:
        """Give everybody so many browsers, in each of which all these applications take part with a family each."""
        with self._unchecked():
            for number in range(sessions):
                shifted = range(people[0] + number * _SHIFT, people[-1] + number * _SHIFT + 1)
                user = sql_identifier("u", f"n %% {_SHIFT}")
                self._sessions(shifted, "b", {"user_id": user, "kind": "'browser'", "secret_hash": "%(text_hash)s"})
                self.applications(shifted, clients, user=user)
        self.settle()

    @contextmanager
    def _unchecked(self) -> Iterator[None]:
        self.connection.execute("SET session_replication_role = replica")
        yield
        self.connection.execute("RESET session_replication_role")

    def _past(self, numbers: range, client: str, *, user: str = sql_identifier("u"), **parameters: Any) -> None:
        """A session of each that is over, with its receipt and its notice."""
        events = {
            "id": sql_identifier("o"),
            "user_id": user,
            "reason": "'idle'",
            "browsers_ended": "1",
            "apps_ended": "0",
            "access_expires_at": f"{_LONG_AGO} + 300000000",
            "receipt_hash": "%(text_hash)s",
            "receipt_expires_at": f"{_LONG_AGO} + 86400000000",
            "occurred_at": _LONG_AGO,
        }
        self._insert(numbers, "logout_events", events)
        usual, self.moment = self.moment, f"({_LONG_AGO} - 86400000000)"
        over = {"user_id": user, "kind": "'browser'", "secret_hash": "%(text_hash)s", "ended_at": _LONG_AGO}
        over |= {"end_reason": "'idle'", "logout_event_id": sql_identifier("o")}
        self._sessions(numbers, "e", over)
        self.moment = usual
        self._notices(numbers, client, event=sql_identifier("o"), session=sql_identifier("e"), **parameters)

    def _notices(self, numbers: range, client: str, *, event: str, session: str, **parameters: Any) -> None:
        columns = {
            "id": sql_identifier("d"),
            "event_id": event,
            "session_id": session,
            "client_id": client,
            "client_name": f"'Application ' || right({client}, 5)",
            "uri": "'https://app.example/backchannel'",
            "host": "'app.example'",
            "operator_registered": "true",
            "audience": client,
            "sub": "'sub-' || n",
            "sid": "'e' || lpad(n::text, 21, '0')",
            "algorithm": "'ES256'",
            "ended_at": _LONG_AGO,
            "state": "'told'",
            "attempts": "1",
            "refusals": "0",
            "next_attempt_at": _LONG_AGO,
            "settled_at": f"{_LONG_AGO} + 300000",
            "created_at": _LONG_AGO,
        }
        self._insert(numbers, "logout_deliveries", columns, **parameters)

    def _history(
        self, numbers: range, kind: str, *, number: str = "n", user: str = sql_identifier("u"), is_quoted: bool = True
    ) -> None:
        columns = {
            "id": sql_identifier("q", number),
            "occurred_at": _LONG_AGO,
            "kind": f"'{kind}'" if is_quoted else kind,
            "user_id": user,
            "session_id": sql_identifier("e"),
            "actor": "'person'",
            "ip_address": "'192.0.2.' || n %% 250",
            "details": """'{"reason": "idle", "agent": "Firefox", "os": "Linux", "browsers": 1, "apps": 0}'""",
        }
        self._insert(numbers, "audit_events", columns)
