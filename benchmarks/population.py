"""The people, sessions and tokens that operations are measured on, written in bulk by `generate_series`.

Rows are what the rules would have written, except that all share one cookie secret, one family secret and one code
secret, so that the requests for any of them can be made without asking. Everybody has a number; identifiers are made
of it. Nothing here is a rule: a column that the schema gains shows as an error of PostgreSQL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import psycopg

from idp.db.models import Base
from idp.db.types import to_microseconds
from idp.kit.opaque import Secret, hash_secret, make_handle
from idp.tokens.refresh_tokens import RefreshToken, write_refresh_token
from idp.web.services import Services

PASSWORD = "correct horse battery staple"
TEXT_SECRET = "b" * 21 + "A"
FAMILY_SECRET = b"the bench family"
CODE_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B
MANY = 10_000  # participations of one person that have numbers of their own


def identifier(kind: str, number: int) -> str:
    """The identifier of the record of that kind and number: valid, and readable in a query."""
    return f"0{kind}{number:023d}0"


def sql_identifier(kind: str, number: str = "n") -> str:
    """The same in SQL, for rows numbered by an expression."""
    return f"'0{kind}' || lpad(({number})::text, 23, '0') || '0'"


@dataclass(frozen=True)
class _Part:
    """Whose part in what: SQL for the numbers, the client and the participation of rows that hang on a session."""

    letter: str
    session: str
    client: str
    number: str = "n"
    participation: str = ""
    source: str = ""
    user: str = sql_identifier("u")


@dataclass
class Population:
    """Writes rows and knows what opens them. Kinds: u user, b browser, a app, p m participations, f g families."""

    connection: psycopg.Connection
    services: Services
    password_hash: str = ""
    # SQL for when number n was last active: just now.
    moment: str = "%(now)s"
    _next: int = field(default=1)

    def people(self, count: int) -> range:
        """New people with a name, an address and a password."""
        people = range(self._next, self._next + count)
        self._next += count
        columns = {
            "id": sql_identifier("u"),
            "sub": "'sub-' || lpad(n::text, 18, '0')",
            "epoch": "0",
            "username": "'person' || n",
            "username_key": "'person' || n",
            "email": "'person' || n || '@example.com'",
            "email_key": "'person' || n || '@example.com'",
            "password_hash": "%(password_hash)s",
            "claims": """'{"name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace"}'""",
            "claims_updated_at": "%(now)s",
            "created_at": "%(now)s",
        }
        self._insert(people, "users", columns)
        return people

    def browsers(self, people: range) -> None:
        """Sign everybody in in a browser."""
        self._sessions(people, "b", {"kind": "'browser'", "secret_hash": "%(text_hash)s"})

    def apps(self, people: range, client_id: str, *, scope: str = "openid offline_access") -> None:
        """Sign everybody in in an app: a session, the app's part in it, and a family with a refresh token."""
        own = {"kind": "'app'", "client_id": "%(client)s"}
        self._sessions(people, "a", own, client=client_id)
        self._participations(people, _Part("p", "a", client="%(client)s"), client=client_id)
        part = _Part("f", "a", client="%(client)s", participation=sql_identifier("p"))
        self._families(people, part, client=client_id, scope=f" {scope} ")

    def applications(self, people: range, client_ids: Sequence[str], *, user: str = sql_identifier("u")) -> None:
        """Let every browser take part in all these applications, with a family in each."""
        number = f"n * {MANY} + client.place"
        source = "CROSS JOIN unnest(%(clients)s::text[]) WITH ORDINALITY AS client(id, place)"
        part = _Part("m", "b", client="client.id", number=number, source=source, user=user)
        self._participations(people, part, clients=list(client_ids))
        part = replace(part, letter="g", participation=sql_identifier("m", number))
        self._families(people, part, clients=list(client_ids), scope=" openid ")

    def consents(self, people: range, client_id: str, scope: str) -> None:
        """Let everybody have allowed the client these scopes."""
        columns = {
            "id": sql_identifier("k"),
            "user_id": sql_identifier("u"),
            "client_id": "%(client)s",
            "scopes": "%(scope)s",
            "granted_at": "%(now)s",
            "updated_at": "%(now)s",
        }
        self._insert(people, "consents", columns, client=client_id, scope=f" {scope} ")

    def codes(self, people: range, client_id: str, *, redirect_uri: str, scope: str) -> None:
        """An unused authorization code for everybody's browser session."""
        columns = {
            "id": sql_identifier("c"),
            "secret_hash": "%(text_hash)s",
            "client_id": "%(client)s",
            "user_id": sql_identifier("u"),
            "session_id": sql_identifier("b"),
            "user_epoch": "0",
            "redirect_uri": "%(redirect_uri)s",
            "redirect_uri_was_sent": "true",
            "scope": "%(scope)s",
            "resources": "'[]'",
            "claims_request": "'{}'",
            "code_challenge": f"'{CODE_CHALLENGE}'",
            "device_name": "''",
            "os_name": "'Linux'",
            "agent_name": "'Firefox'",
            "ip_address": "'127.0.0.1'",
            "auth_time": "%(now)s",
            "amr": """'["pwd"]'""",
            "created_at": "%(now)s",
            "expires_at": "%(now)s + 3600000000",
        }
        given = {"client": client_id, "redirect_uri": redirect_uri, "scope": f" {scope} "}
        self._insert(people, "authorization_codes", columns, **given)

    def clients_like(self, model_id: str, count: int) -> list[str]:
        """Copies of a registered client, by the hundred."""
        table = Base.metadata.tables["clients"]
        copied = [column.name for column in table.columns if column.name not in {"id", "name"}]
        self.connection.execute(
            f"INSERT INTO clients (id, name, {', '.join(copied)}) SELECT {sql_identifier('r')}, name || ' ' || n, "
            f"{', '.join(copied)} FROM clients, generate_series(1, %(count)s) AS copy(n) WHERE id = %(model)s",
            {"count": count, "model": model_id},
        )
        return [identifier("r", number) for number in range(1, count + 1)]

    def rotate_just_now(self, people: range) -> None:
        """Let everybody's app have refreshed at this moment: what it presents now is held."""
        self._execute(
            "UPDATE token_families SET generation = 2, parent_generation = 1, rotated_at = %(now)s "
            f"WHERE id >= {sql_identifier('f', '%(first)s')} AND id <= {sql_identifier('f', '%(last)s')}",
            people,
        )

    def settle(self) -> None:
        """What autovacuum would have done by and by: statistics and visibility."""
        self.connection.execute("VACUUM ANALYZE")

    def refresh_tokens(self, people: range) -> Iterator[str]:
        """The live refresh token of everybody's app."""
        found = self._execute(
            f"SELECT generation FROM token_families WHERE id >= {sql_identifier('f', '%(first)s')} "
            f"AND id <= {sql_identifier('f', '%(last)s')} ORDER BY id",
            people,
        )
        for number, (generation,) in zip(people, found, strict=True):
            token = RefreshToken(identifier("f", number), generation, FAMILY_SECRET)
            yield write_refresh_token(token, self.services.keyring).reveal()

    def _sessions(self, people: range, letter: str, own: dict[str, str], **parameters: Any) -> None:
        columns = {
            "id": sql_identifier(letter),
            "user_id": sql_identifier("u"),
            "auth_time": self.moment,
            "amr": """'["pwd"]'""",
            "keep_signed_in": "false",
            "device_name": "''",
            "os_name": "'Linux'",
            "agent_name": "'Firefox'",
            "label": "''",
            "ip_address": "'127.0.0.1'",
            "started_at": self.moment,
            "last_active_at": self.moment,
            "sweep_at": f"{self.moment} + 86400000000",
        }
        self._insert(people, "sessions", columns | own, **parameters)

    def _participations(self, people: range, part: "_Part", **parameters: Any) -> None:
        columns = {
            "id": sql_identifier(part.letter, part.number),
            "session_id": sql_identifier(part.session),
            "client_id": part.client,
            "sid": f"'{part.letter}' || lpad(({part.number})::text, 21, '0')",
            "started_at": self.moment,
        }
        self._insert(people, "session_clients", columns, source=part.source, **parameters)

    def _families(self, people: range, part: "_Part", **parameters: Any) -> None:
        columns = {
            "id": sql_identifier(part.letter, part.number),
            "client_id": part.client,
            "user_id": part.user,
            "session_id": sql_identifier(part.session),
            "session_client_id": part.participation,
            "grant_type": "'authorization_code'",
            "secret_hash": "%(family_hash)s",
            "generation": "1",
            "last_used_at": self.moment,
            "access_expires_at": "%(now)s + 300000000",
            "scope": "%(scope)s",
            "resources": "%(resources)s",
            "claims_request": "'{}'",
            "auth_time": self.moment,
            "amr": """'["pwd"]'""",
            "started_at": self.moment,
        }
        self._insert(people, "token_families", columns, source=part.source, **parameters)

    def _insert(
        self, people: range, table: str, columns: dict[str, str], *, source: str = "", **parameters: Any
    ) -> None:
        self._execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
            f"FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS person(n) {source}",
            people,
            **parameters,
        )

    def _execute(self, statement: str, people: range, **parameters: Any) -> Any:
        settings = self.services.settings
        given = {
            "first": people[0],
            "last": people[-1],
            "now": to_microseconds(self.services.clock.now() - timedelta(milliseconds=1)),
            "password_hash": self.password_hash,
            "text_hash": hash_secret(TEXT_SECRET),
            "family_hash": hash_secret(FAMILY_SECRET),
            "resources": f'["{settings.url("/oauth2/userinfo")}"]',
        }
        return self.connection.execute(statement, given | parameters)


def cookie_of(number: int) -> str:
    """What the browser of that person holds."""
    return cookie_from(identifier("b", number))


def cookie_from(session_id: str) -> str:
    """What the browser of any of these sessions holds."""
    return make_handle(session_id, Secret(TEXT_SECRET))


def code_of(number: int) -> str:
    """The authorization code of that person."""
    return make_handle(identifier("c", number), Secret(TEXT_SECRET))
