"""`Installation`: the provider as people, applications and operators meet it. Two nodes on one database, over HTTP.

Every verb is what somebody outside can do: fill in a page, call an endpoint, run `idp …`, let a worker make a round.
Which node answers is chosen per step; a node can be restarted. Notices arrive at receivers over real HTTP.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from sqlalchemy import delete
from werkzeug.test import TestResponse

from idp import users, worker
from idp.db.engine import db
from idp.db.models import AuditEvent, Base, SessionClient, SigningKey, User
from idp.kit.opaque import Secret
from idp.tokens.refresh_tokens import read_refresh_token, write_refresh_token
from idp.worker.steps import Hints
from tests.cli.shell import SECRET, Shell
from tests.stateful.model import GUESS_WINDOW, GUESSES, Application, Person, Window
from tests.support.characters import CLI_REDIRECT, ISSUER, RP_REDIRECT, Provider, Tokens
from tests.support.heart import START, Heart
from tests.support.pages import Page, Visitor
from tests.support.receivers import Receiver

SESSION_COOKIE = "idp_session"
AFTER = "https://rp.example/signed-out"


@dataclass
class Went:
    """Where a form or a link led: the fields that a client was answered with, or the page that came."""

    response: TestResponse
    fields: dict[str, str] = field(default_factory=dict)
    page: Page | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.response.location or "").path


class Applications(Receiver):
    """Where all applications take notices; remembers each with the answer that it got."""

    def __init__(self) -> None:
        super().__init__(200)
        self.notices: list[tuple[int, dict[str, Any]]] = []

    def _enter(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        status = super()._enter(method, path, headers, body)
        token = dict(parse_qsl(body.decode("ascii")))["logout_token"]
        self.notices.append((status, jwt.decode(token, options={"verify_signature": False})))
        return status


class Installation:
    """Two nodes, a worker's steps, the shell, and the applications' receivers of notices."""

    def __init__(self, heart: Heart, receiver: Applications, var_dir: Path) -> None:
        self.heart = heart
        self.receiver = receiver
        heart.with_settings(
            issuer=ISSUER,
            outbound_allow=(f"127.0.0.1:{receiver.port}",),
            access_log=False,
            log_level="error",
            guesses_per_person=GUESSES,
            guess_window_lifetime=GUESS_WINDOW,
        )
        self.nodes = [Provider(heart, heart.settings)]
        self.nodes.append(self._open())
        self.shell = Shell(
            {
                "IDP_VAR_DIR": str(var_dir),
                "IDP_SECRET": SECRET,
                "IDP_DATABASE_URL": heart.settings.database_url,
                "IDP_ISSUER": ISSUER,
                "IDP_LOG_LEVEL": "error",
            }
        )
        self._hints = [Hints(), Hints()]
        self.node = 0
        self._passwords: dict[str, str] = {}
        self._visitors = 0
        self._names: dict[str, str] = {}  # of people, by identifier
        self._seen: set[str] = set()  # audit rows

    # ── Between runs ──

    def begin_anew(self) -> None:
        """As after `idp init`, at the same moment: what one run left behind must not change another."""
        with self.heart.database.transaction() as tx:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name != SigningKey.__tablename__:
                    tx.execute(delete(table))
        self.heart.clock.moment = START + timedelta(hours=30)  # the signing key is active, however the clock steps back
        self.receiver.notices.clear()
        self.receiver.statuses = [200]
        self.node = 0
        self._hints = [Hints(), Hints()]
        self._names.clear()
        self._seen.clear()

    def close(self) -> None:
        for node in self.nodes:
            self._close(node)

    # ── Nodes ──

    @property
    def here(self) -> Provider:
        """The node that answers this step."""
        return self.nodes[self.node]

    @property
    def there(self) -> Provider:
        """The other one, on which everything must show at once (I2)."""
        return self.nodes[1 - self.node]

    def restart(self, which: int) -> None:
        """A node forgets whatever it remembered."""
        self._close(self.nodes[which])
        self.nodes[which] = self._open()
        self._hints[which] = Hints()

    def _open(self) -> Provider:
        return Provider(self.heart, self.heart.settings, makes_key=False)

    @staticmethod
    def _close(node: Provider) -> None:
        with node.app.app_context():
            db.engine.dispose()

    # ── People and their browsers ──

    def person(self, name: str, password: str) -> Person:
        if password not in self._passwords:
            self._passwords[password] = users.hash_password(Secret(password))
        with self.heart.database.transaction() as tx:
            user = users.create_user(
                tx,
                email=f"{name}@example.com",
                username=name,
                password_hash=self._passwords[password],
                claims={},
                now=self.heart.now,
            )
        assert isinstance(user, User)
        self._names[user.id] = name
        return Person(name, password, user.id)

    def application(
        self, name: str, *, is_told: bool, is_framed: bool = False, is_native: bool = False, **spec: Any
    ) -> Application:
        rp = self.nodes[0].relying_party(
            name=name,
            redirect_uris=(CLI_REDIRECT if is_native else RP_REDIRECT,),
            public=is_native,
            backchannel_logout_uri=self.receiver.uri if is_told else None,
            frontchannel_logout_uri=f"https://rp.example/front/{name}" if is_framed else None,
            post_logout_redirect_uris=(AFTER,),
            **spec,
        )
        return Application(name, rp, is_native=is_native, is_told=is_told, is_framed=is_framed)

    def window(self) -> Window:
        self._visitors += 1
        address = f"198.51.{self._visitors // 250 % 250}.{self._visitors % 250 + 1}"  # each its own guess budget
        return Window(self.here.visitor(address=address))

    def look(self, window: Window, path: str) -> TestResponse:
        """Open an address in a window, at the node of this step."""
        return self.at_this_node(window.visitor).get(path)

    def submit(self, window: Window, form: Any, *, at: str | None = None, button: str = "", **fields: Any) -> Went:
        """Send a form of a page, and follow it to its end."""
        visitor = self.at_this_node(window.visitor)
        if at is not None:
            visitor.at = at
        return self.follow(visitor, visitor.submit(form, button=button, **fields))

    def forge(self, window: Window, path: str, token: str, **fields: Any) -> TestResponse:
        """Send a form that no page showed, with the token of one that did."""
        visitor = self.at_this_node(window.visitor)
        response: TestResponse = visitor._open(path, "POST", data={"csrf_token": token, **fields})
        return response

    def at_this_node(self, visitor: Visitor) -> Visitor:
        visitor.client.application = self.here.app
        return visitor

    def follow(self, visitor: Visitor, response: TestResponse) -> Went:
        """Follow redirects until a page comes or a client is answered."""
        for _ in range(6):
            location = response.location or ""
            if response.status_code != 303:
                is_page = response.mimetype == "text/html" and response.status_code < 400
                return Went(response, page=Page(response.text) if is_page else None)
            if not location.startswith("/"):
                return Went(response, dict(parse_qsl(urlsplit(location).query)))
            response = visitor.get(location)
        raise AssertionError("redirects lead nowhere")

    def authorize(self, window: Window, application: Application, scope: str, prompt: str | None) -> Went:
        visitor = self.at_this_node(window.visitor)
        return self.follow(visitor, visitor.get(application.rp.address(scope=scope, prompt=prompt)))

    def logout_address(self, **parameters: str) -> str:
        return "/oauth2/logout?" + urlencode(parameters)

    def is_signed_in(self, handle: str) -> bool:
        """Whether a copy of a cookie, in no browser that we know, opens the account page at the other node."""
        client = self.there.app.test_client(use_cookies=False)
        response = client.get("/account/sessions", headers={"Cookie": f"{SESSION_COOKIE}={handle}"})
        assert response.status_code in {200, 303}, response.status_code
        return response.status_code == 200

    def frames(self, text: str) -> set[tuple[str, str]]:
        """Whom a page makes the browser tell (Front-Channel Logout §2): the application's name and its `sid`."""
        told = set()
        for address in re.findall(r'<iframe src="([^"]+)"', text):
            parts = urlsplit(unescape(address))
            query = dict(parse_qsl(parts.query))
            assert query["iss"] == ISSUER
            told.add((parts.path.rpartition("/")[2], query["sid"]))
        return told

    # ── Applications ──

    def redeem(self, application: Application, code: str, **changes: Any) -> Tokens:
        return self._as(application).redeem(code, **changes)

    def refresh(self, application: Application, text: str) -> Tokens:
        return self._as(application).refresh(text)

    def revoke(self, application: Application, text: str) -> TestResponse:
        response: TestResponse = self._as(application).revoke(text)
        return response

    def is_active(self, application: Application, text: str) -> bool:
        """What the application learns about its token at the other node. Never a reason, when it is over."""
        rp = application.rp
        rp.provider = self.there
        response = rp.post("/oauth2/introspect", token=text)
        assert response.status_code == 200, (response.status_code, response.text)
        body = response.get_json()
        assert body["active"] or body == {"active": False}
        return bool(body["active"])

    def opens_userinfo(self, application: Application, text: str, sub: str) -> bool:
        rp = application.rp
        rp.provider = self.there
        response = rp.userinfo(text)
        assert response.status_code in {200, 401}, response.status_code
        if response.status_code == 200:
            assert response.get_json()["sub"] == sub
        return response.status_code == 200

    def of_generation(self, text: str, generation: int) -> str:
        """A token that was never issued, as only the server's secret makes it (it leaked, or an old backup came)."""
        token = read_refresh_token(text, self.heart.keyring)
        assert token is not None
        return write_refresh_token(token.of_generation(generation), self.heart.keyring).reveal()

    def _as(self, application: Application) -> Any:
        application.rp.provider = self.here
        return application.rp

    # ── Operators and time ──

    def idp(self, *arguments: str, given: str = "", must_refuse: bool = False) -> None:
        """`idp …` in a shell, which must succeed, or must say no in a sentence."""
        if must_refuse:
            assert self.shell.refusal(*arguments, given=given)
        else:
            self.shell.json(*arguments, given=given)

    def deliver(self) -> None:
        worker.deliver_due(self.here.services)

    def sweep(self) -> None:
        """A worker's round on this node: bring the hints to today's policy, and end what is over."""
        self._hints[self.node].follow_policy(self.here.services)
        worker.sweep_expired(self.here.services)

    def purge(self) -> None:
        worker.purge(self.here.services)

    def new_audit_rows(self) -> Counter[tuple[str, str]]:
        """The audit rows that came since this was asked last: kind, and whose account."""
        rows = [row for row in self.heart.all(AuditEvent) if row.id not in self._seen]
        self._seen |= {row.id for row in rows}
        return Counter((row.kind, self._names[row.user_id] if row.user_id else "") for row in rows)

    def session_of(self, sid: str) -> str:
        """The identifier that the account page and the shell use for the sign-in of an application's `sid`."""
        [participation] = self.heart.all(SessionClient, SessionClient.sid == sid)
        return str(participation.session_id)
