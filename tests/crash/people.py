"""The load of a crash run: people who sign in, applications that refresh, everybody who signs out, and what each saw.

A person's browser session begins by the rules (no password hashing under load); everything else is HTTP through
whichever node answers. Every acknowledgement goes into a ledger, which `tests.crash.verdict` holds against the database
and the nodes afterwards. A client is honest: when an answer is lost it asks once more, and the first answer that
arrives must be right.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import jwt
import requests
from sqlalchemy.exc import SQLAlchemyError

from idp.db.models import Client
from idp.sessions import StartedSession
from idp.tokens.refresh_tokens import read_refresh_token
from tests.crash.cluster import Cluster
from tests.support.heart import REDIRECT, Heart
from tests.support.pages import Page

PATIENCE_SECONDS = 90


class Wrong(AssertionError):
    """An answer that must not be."""


@dataclass
class Grant:
    """What a client holds: the newest refresh token that was acknowledged, and its family."""

    client: Client
    refresh_token: str
    access_token: str
    sid: str
    family_id: str
    generation: int
    id_token: str = field(repr=False)

    def become(self, newer: "Grant") -> None:
        """After a refresh."""
        self.__dict__.update(newer.__dict__)


@dataclass
class Ledger:
    """What was acknowledged."""

    redeemed: list[Grant] = field(default_factory=list)
    alive: list[Grant] = field(default_factory=list)
    ended: list[Grant] = field(default_factory=list)
    revoked: list[Grant] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)  # codes whose answer was lost for good
    rotations: int = 0
    ends: int = 0
    lost: int = 0
    unavailable: int = 0
    recovered: int = 0
    most_retries: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Ledger") -> None:
        """Take over what another one noted."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if name == "most_retries":
                self.most_retries = max(mine, value)
            elif isinstance(value, list):
                mine.extend(value)
            else:
                setattr(self, name, mine + value)


@dataclass(frozen=True)
class Applications:
    """A web application that rotates at each refresh, one with the usual leeway, and a tool with own sessions."""

    eager: Client
    usual: Client
    tool: Client


class Person(threading.Thread):
    """One person after another, until told to stop."""

    def __init__(
        self, heart: Heart, cluster: Cluster, applications: Applications, is_over: threading.Event, seed: int
    ) -> None:
        super().__init__(name=f"person-{seed}")
        self.heart, self.cluster, self.applications, self.is_over = heart, cluster, applications, is_over
        self.chance = random.Random(seed)
        self.ledger = Ledger()
        self.error: Exception | None = None
        self._http = [requests.Session(), requests.Session()]

    def run(self) -> None:
        try:
            while not self.is_over.is_set():
                self._one_life()
        except Exception as error:  # noqa: BLE001 - shown by whoever started us
            self.error = error
        finally:
            for session in self._http:
                session.close()

    # ── A life ──

    def _one_life(self) -> None:
        begun = self._begin()
        if begun is None:
            return
        browser, codes = begun
        web = self.chance.choice([self.applications.eager, self.applications.usual])
        grants = [self._redeem(client, codes[client.id]) for client in (web, self.applications.tool)]
        if None in grants:
            return
        held = [grant for grant in grants if grant is not None]
        for number in range(self.chance.randint(1, 4)):
            if number and self.is_over.is_set():
                break
            for grant in held:
                self._refresh(grant)
        web_grant, tool_grant = held
        match self.chance.randrange(4):
            case 0:
                self._sign_out_everywhere(browser)
                self._is_over_for(web_grant, tool_grant)
                return
            case 1:
                self._revoke(tool_grant)
                self.ledger.alive.append(web_grant)
            case 2:
                self.ledger.alive += held
            case _:
                self._sign_out(browser, web_grant)
                self._is_over_for(web_grant)
                self.ledger.alive.append(tool_grant)

    def _begin(self) -> tuple[StartedSession, dict[str, str]] | None:
        """Somebody signs in, and two codes are on their way; None while the database is away."""
        eager, usual, tool = self.applications.eager, self.applications.usual, self.applications.tool
        try:
            browser = self.heart.sign_in(self.heart.person())
            codes = {client.id: self.heart.code(browser, client).reveal() for client in (eager, usual)}
            codes[tool.id] = self.heart.code(browser, tool, "openid offline_access").reveal()
        except SQLAlchemyError:
            self._knock()
            time.sleep(0.1)
            return None
        return browser, codes

    def _knock(self) -> None:
        """While nobody can sign in: what needs the database is told so, or is right again."""
        form = {"grant_type": "authorization_code", "code": "none", "client_id": self.applications.usual.id}
        try:
            answer = self._post(self.chance.randrange(2), "/oauth2/token", form)
        except requests.RequestException:
            self.ledger.lost += 1
            return
        if answer.status_code == 503 and "Retry-After" in answer.headers:
            self.ledger.unavailable += 1
        elif answer.status_code != 400:
            self._is_wrong(answer)

    # ── What an application does ──

    def _redeem(self, client: Client, code: str) -> Grant | None:
        """A code is worth something once: when its answer is lost, a second try revokes what the first one gave."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "client_id": client.id}
        lost_before = self.ledger.lost + self.ledger.unavailable
        answer = self._ask(lambda node: self._post(node, "/oauth2/token", form), {200, 400})
        if answer.status_code == 400:
            if self.ledger.lost + self.ledger.unavailable == lost_before:
                self._is_wrong(answer)
            self.ledger.abandoned.append(code)
            return None
        grant = self._grant(client, answer)
        self.ledger.redeemed.append(grant)
        return grant

    def _refresh(self, grant: Grant) -> None:
        before = grant.generation
        answer = self._ask(lambda node: self._post(node, "/oauth2/token", _refreshing(grant)), {200})
        newer = self._grant(grant.client, answer)
        if newer.generation < before or (grant.client.id == self.applications.eager.id and newer.generation == before):
            self._is_wrong(answer, f"generation {before} gave {newer.generation}")
        grant.become(newer)
        self.ledger.rotations += newer.generation > before

    def _revoke(self, grant: Grant) -> None:
        form = {"client_id": grant.client.id, "token": grant.refresh_token}
        self._ask(lambda node: self._post(node, "/oauth2/revoke", form), {200})
        self.ledger.revoked.append(grant)
        self._must_be_dead(grant)

    def _is_over_for(self, *grants: Grant) -> None:
        self.ledger.ends += 1
        for grant in grants:
            self.ledger.ended.append(grant)
            self._must_be_dead(grant)

    def _must_be_dead(self, grant: Grant) -> None:
        self._ask(lambda node: self._post(node, "/oauth2/token", _refreshing(grant)), {400})
        bearer = {"Authorization": f"Bearer {grant.access_token}"}

        def userinfo(node: int) -> requests.Response:
            return self._http[node].get(self.cluster.url(node, "/oauth2/userinfo"), headers=bearer, timeout=10)

        self._ask(userinfo, {401})

    # ── What the person does ──

    def _sign_out(self, browser: StartedSession, grant: Grant) -> None:
        cookies = {"idp_session": browser.handle.reveal()}
        query = {"client_id": grant.client.id, "id_token_hint": grant.id_token}

        def call(node: int) -> requests.Response:
            return requests.get(
                self.cluster.url(node, "/oauth2/logout"),
                params=query,
                cookies=cookies,
                allow_redirects=False,
                timeout=10,
            )

        answer = self._ask(call, {303})
        if "/signed-out" not in answer.headers["Location"]:
            self._is_wrong(answer, answer.headers["Location"])

    def _sign_out_everywhere(self, browser: StartedSession) -> None:
        """The question and its button. Whoever is not signed in any more when asking again was heard the first time."""
        path = "/account/sessions/end-everywhere"

        def call(node: int) -> requests.Response:
            with requests.Session() as visit:
                visit.cookies.set("idp_session", browser.handle.reveal())
                url = self.cluster.url(node, path)
                question = visit.get(url, allow_redirects=False, timeout=10)
                if question.status_code != 200:
                    return question
                fields = Page(question.text).form(path).fields
                return visit.post(url, data=fields, allow_redirects=False, timeout=10)

        lost_before = self.ledger.lost + self.ledger.unavailable
        answer = self._ask(call, {303})
        was_heard_before = answer.headers["Location"].startswith("/login")
        if was_heard_before and self.ledger.lost + self.ledger.unavailable == lost_before:
            self._is_wrong(answer, "not signed in")

    # ── Asking ──

    def _grant(self, client: Client, answer: requests.Response) -> Grant:
        body = answer.json()
        genuine = read_refresh_token(body["refresh_token"], self.heart.keyring)
        assert genuine is not None
        sid = jwt.decode(body["id_token"], options={"verify_signature": False})["sid"]
        return Grant(
            client,
            body["refresh_token"],
            body["access_token"],
            sid,
            genuine.family_id,
            genuine.generation,
            body["id_token"],
        )

    def _post(self, node: int, path: str, form: dict[str, str]) -> requests.Response:
        return self._http[node].post(self.cluster.url(node, path), data=form, timeout=10)

    def _ask(self, call: Callable[[int], requests.Response], wanted: set[int]) -> requests.Response:
        """Ask one node; after a lost answer, or a 503 that says when to come back, the other."""
        node, retries = self.chance.randrange(2), 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = call(node)
            except requests.RequestException:
                self.ledger.lost += 1
            else:
                if answer.status_code in wanted:
                    self.ledger.recovered += retries > 0
                    self.ledger.most_retries = max(self.ledger.most_retries, retries)
                    return answer
                if answer.status_code != 503 or "Retry-After" not in answer.headers:
                    self._is_wrong(answer)
                self.ledger.unavailable += 1
            node, retries = 1 - node, retries + 1
            if retries > 1:
                time.sleep(0.05)
        raise Wrong("no node answers")

    def _is_wrong(self, answer: requests.Response, why: str = "") -> None:
        told = f"{answer.request.method} {answer.url.split('?')[0]}: {answer.status_code} {why} {answer.text[:300]}"
        self.ledger.wrong.append(told)
        raise Wrong(told)


def _refreshing(grant: Grant) -> dict[str, str]:
    return {"grant_type": "refresh_token", "client_id": grant.client.id, "refresh_token": grant.refresh_token}
