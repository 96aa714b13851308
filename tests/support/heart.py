"""`heart`: the record rooms on a real database, without HTTP, for tests of rules and races.

Its verbs each open one transaction, as a desk would, and pass today's time. `Heart` opens as many nodes on the same
database as a race asks for.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from idp import clients, policy, sessions, tokens, users
from idp.clients import ClientSpec, ClientTerms, ProvenClient
from idp.db.engine import Database
from idp.db.models import Client, EndReason, Session, TokenFamily, User
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret
from idp.policy import Changed, PolicyProblem
from idp.sessions import Actor, Device, Ended, SessionPolicy, StartedSession
from idp.settings import Settings, load_settings
from idp.tokens import CodeRequest, Issued, Refused

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
REDIRECT = "https://app.example/callback"


class HandClock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def advance(self, **parts: float) -> None:
        self.moment += timedelta(**parts)


@dataclass
class Heart:
    """People, clients, sessions and tokens, by rule calls on one database."""

    database: Database
    open_database: Callable[[], Database]
    clock: HandClock
    settings: Settings
    keyring: Keyring
    _names: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def policy(self) -> SessionPolicy:
        return SessionPolicy.of(self.settings)

    def with_settings(self, **changes: Any) -> None:
        """Today's policy changes."""
        self.settings = self.settings.model_copy(update=changes)

    def decide(self, name: str, text: str | None, client: Client | None = None) -> Changed | PolicyProblem:
        """An operator sets a policy value while everything runs, or unsets it (None)."""
        given: dict[str, Any] = {
            "name": name,
            "client_id": client.id if client else None,
            "settings": self.settings,
            "actor": "operator",
            "now": self.now,
        }
        with self.database.transaction() as tx:
            return policy.unset_value(tx, **given) if text is None else policy.set_value(tx, text=text, **given)

    def person(self) -> User:
        name = f"person{next(self._names)}"
        with self.database.transaction() as tx:
            user = users.create_user(
                tx, email=f"{name}@example.com", username=name, password_hash=None, claims={}, now=self.now
            )
        assert isinstance(user, User)
        return user

    def client(self, **spec: Any) -> Client:
        name = spec.pop("name", f"Application {next(self._names)}")
        given: dict[str, Any] = {"redirect_uris": [REDIRECT], "requires_pkce": False, **spec}
        with self.database.transaction() as tx:
            created = clients.create_client(tx, spec=ClientSpec(name=name, **given), now=self.now)
        assert not isinstance(created, list), created
        return created.client

    def change(self, row: Any, **values: Any) -> None:
        """An administrator changes a row."""
        with self.database.transaction() as tx:
            found = tx.get(type(row), row.id)
            for name, value in values.items():
                setattr(found, name, value)
                setattr(row, name, value)

    def sign_in(self, person: User, *, keep_signed_in: bool = False, previous: Secret | None = None) -> StartedSession:
        with self.database.transaction() as tx:
            current = tx.get(User, person.id)
            assert current is not None
            started = sessions.start_browser_session(
                tx,
                user_id=person.id,
                expected_epoch=current.epoch,
                amr=["pwd"],
                acr=None,
                keep_signed_in=keep_signed_in,
                device=Device("", "Linux", "Firefox 145", "192.0.2.7"),
                previous_handle=previous.reveal() if previous else None,
                settings=self.settings,
                now=self.now,
            )
        assert isinstance(started, StartedSession)
        return started

    def current(self, handle: Secret) -> sessions.CurrentSession | None:
        with self.database.single_reads() as statements:
            return sessions.find_current(statements, handle=handle.reveal(), now=self.now, policy=self.policy)

    def service_tokens(self, client: Client, scope: tuple[str, ...] = ()) -> Issued:
        """What a client that speaks for itself gets."""
        with self.database.autocommit() as statements:
            proven = ProvenClient(*(getattr(client, name) for name in ProvenClient._fields))
            return tokens.issue_client_credentials(
                statements, client=proven, scope=scope, resources=[], settings=self.settings, now=self.now
            )

    def code(self, session: StartedSession, client: Client, scope: str = "openid", **request: Any) -> Secret:
        with self.database.transaction() as tx:
            owner = tx.get(Session, session.session_id)
            assert owner is not None
            user = tx.get(User, owner.user_id)
            assert user is not None
            code = tokens.issue_code(
                tx,
                request=CodeRequest(
                    **{
                        "client_id": client.id,
                        "redirect_uri": REDIRECT,
                        "redirect_uri_was_sent": True,
                        "scope": tuple(scope.split()),
                        "resources": [],
                        "claims_request": {},
                        "nonce": None,
                        "code_challenge": None,
                        **request,
                    }
                ),
                session_id=session.session_id,
                expected_epoch=user.epoch,
                settings=self.settings,
                now=self.now,
            )
        assert isinstance(code, Secret), code
        return code

    def redeem(
        self, code: Secret | str, client: Client, database: Database | None = None, **given: Any
    ) -> Issued | Refused:
        with (database or self.database).transaction() as tx:
            return tokens.redeem_code(
                tx,
                code=code.reveal() if isinstance(code, Secret) else code,
                client=terms_of(client),
                redirect_uri=given.get("redirect_uri", REDIRECT),
                code_verifier=given.get("code_verifier"),
                settings=self.settings,
                keyring=self.keyring,
                now=self.now,
            )

    def tokens_for(self, session: StartedSession, client: Client, scope: str = "openid") -> Issued:
        issued = self.redeem(self.code(session, client, scope), client)
        assert isinstance(issued, Issued), issued
        return issued

    def refresh(
        self,
        token: Secret | Issued | None,
        client: Client,
        *,
        scope: str | None = None,
        database: Database | None = None,
        now: datetime | None = None,
    ) -> Issued | Refused:
        text = token.refresh_token if isinstance(token, Issued) else token
        assert text is not None, "this client got no refresh token"
        return tokens.refresh(
            database or self.database,
            token=text.reveal(),
            client_id=client.id,
            is_authenticated=True,
            scope=tuple(scope.split()) if scope is not None else None,
            settings=self.settings,
            keyring=self.keyring,
            now=now or self.now,
        )

    def end(self, person: User, *session_ids: str, reason: EndReason = EndReason.SIGNED_OUT) -> Ended:
        with self.database.transaction() as tx:
            return sessions.end_sessions(
                tx,
                user_id=person.id,
                session_ids=session_ids,
                reason=reason,
                actor=Actor(),
                settings=self.settings,
                now=self.now,
            )

    def end_everything(
        self, person: User, *, keep: str | None = None, database: Database | None = None, now: datetime | None = None
    ) -> Ended:
        with (database or self.database).transaction() as tx:
            return sessions.end_everything(
                tx,
                user_id=person.id,
                except_session_id=keep,
                reason=EndReason.SIGNED_OUT_EVERYWHERE,
                actor=Actor(),
                settings=self.settings,
                now=now or self.now,
            )

    def withdraw(self, person: User, client: Client, *, database: Database | None = None) -> Ended:
        """A person takes an application its access away, as the account page does: consent and all that it holds."""
        with (database or self.database).transaction() as tx:
            sessions.lock_user(tx, person.id)
            clients.withdraw_consent(tx, user_id=person.id, client_id=client.id, now=self.now)
            return sessions.end_client_for_user(
                tx,
                user_id=person.id,
                client_id=client.id,
                reason=EndReason.CONSENT_WITHDRAWN,
                actor=Actor(),
                settings=self.settings,
                now=self.now,
            )

    def end_part(self, person: User, session: StartedSession, client: Client) -> Ended:
        """One application's part in one session ends, as when an old token is presented; the session goes on."""
        with self.database.transaction() as tx:
            return sessions.end_participation(
                tx,
                user_id=person.id,
                session_id=session.session_id,
                client_id=client.id,
                reason=EndReason.REFRESH_TOKEN_REUSE,
                actor=Actor(),
                settings=self.settings,
                now=self.now,
            )

    def sweep(self) -> int:
        with self.database.transaction() as tx:
            return sessions.sweep(tx, now=self.now, settings=self.settings).looked_at

    def session(self, session_id: str) -> Session:
        return self.all(Session, Session.id == session_id)[0]

    def family(self, issued: Issued) -> TokenFamily:
        return self.all(TokenFamily, TokenFamily.id == issued.family_id)[0]

    def all(self, model: Any, *conditions: Any) -> list[Any]:
        with self.database.reading() as tx:
            return list(tx.scalars(select(model).where(*conditions)))


def terms_of(client: Client) -> ClientTerms:
    """What redeeming a code reads of this client."""
    return ClientTerms(*(getattr(client, name) for name in ClientTerms._fields))


def race(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run jobs at once, each in its own thread, behind one barrier; returns their results in order."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait(timeout=30)
        return job()

    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        return [future.result(timeout=90) for future in [pool.submit(run, job) for job in jobs]]


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()


@pytest.fixture
def heart(
    database: Database, open_database: Callable[[], Database], database_url: str, hand_clock: HandClock, tmp_path: Path
) -> Heart:
    secret = "a secret for tests only, long enough to be taken"
    settings = load_settings({}, database_url=database_url, secret=secret, var_dir=tmp_path)
    return Heart(database, open_database, hand_clock, settings, Keyring(settings.known_secret))
