"""What must hold after a round, looked up in the database itself and asked of the nodes over HTTP.

Every acknowledged redemption, rotation, end and revocation stands; every ended participation's application was told,
and nobody was told of anything that did not end; nothing hangs alive on something ended.
"""

import random
import time
from collections.abc import Iterable
from typing import Any

import jwt
import requests
from sqlalchemy import and_, func, or_, select

from idp.db.models import AuthorizationCode, DeliveryState, LogoutDelivery, Session, SessionClient, TokenFamily
from idp.kit.opaque import split_handle
from tests.crash.cluster import Cluster
from tests.crash.people import Grant, Ledger
from tests.support.heart import Heart
from tests.support.receivers import Receiver

NOTICE_SECONDS = 90
ASKED_OVER_HTTP = 6
KEPT_ALIVE = 300


class Verdict:
    """Checks one round after the other; remembers what lives, so that later rounds may not have hurt it."""

    def __init__(self, heart: Heart, cluster: Cluster, receiver: Receiver, chance: random.Random) -> None:
        self._heart, self._cluster, self._receiver, self._chance = heart, cluster, receiver, chance
        self._alive: list[Grant] = []
        self._heard: set[str] = set()
        self._read = 0
        self.notices = 0

    def on(self, ledger: Ledger) -> list[str]:
        """What is wrong after this round; nothing, one hopes."""
        self._heart.database.engine.dispose()  # connections that a stopped server left broken
        self._alive = (self._alive + ledger.alive)[-KEPT_ALIVE:]
        wrong = [*ledger.wrong]
        wrong += self._families(ledger)
        wrong += self._nothing_hangs_alive()
        wrong += self._told(ledger)
        wrong += self._over_http(ledger)
        return wrong

    def _families(self, ledger: Ledger) -> Iterable[str]:
        known = {row.id: row for row in self._find(TokenFamily, {grant.family_id for grant in ledger.redeemed})}
        for grant in ledger.redeemed:
            row = known.get(grant.family_id)
            if row is None:
                yield f"tokens of the family {grant.family_id} were given out without a commit"
            elif row.generation < grant.generation:
                yield f"a rotation to {grant.generation} was acknowledged, the database has {row.generation}"
        for what, grants in (("end", ledger.ended), ("revocation", ledger.revoked)):
            for grant in grants:
                if grant.family_id in known and known[grant.family_id].revoked_at is None:
                    yield f"an acknowledged {what} does not stand: {grant.family_id}"
        for grant in ledger.alive:
            if grant.family_id in known and known[grant.family_id].revoked_at is not None:
                yield f"nobody ended {grant.family_id}: {known[grant.family_id].revoke_reason}"
        codes = {(split_handle(code) or ("", ""))[0] for code in ledger.abandoned}
        given = {row.family_id for row in self._find(AuthorizationCode, codes) if row.family_id}
        for row in self._find(TokenFamily, given):
            if row.revoked_at is None:
                yield f"a code was presented twice, and {row.id} lives"

    def _find(self, model: Any, ids: set[str]) -> list[Any]:
        return self._heart.all(model, model.id.in_(sorted(ids))) if ids else []

    def _nothing_hangs_alive(self) -> Iterable[str]:
        ended = Session.ended_at.is_not(None)
        for what, row, alive in (
            ("participation", SessionClient, SessionClient.ended_at.is_(None)),
            ("token family", TokenFamily, TokenFamily.revoked_at.is_(None)),
        ):
            query = select(func.count()).select_from(row).join(Session, Session.id == row.session_id)
            with self._heart.database.reading() as tx:
                if count := tx.scalar(query.where(and_(ended, alive))):
                    yield f"{count} of {what} alive on ended sessions"

    def _told(self, ledger: Ledger) -> Iterable[str]:
        deadline = time.monotonic() + NOTICE_SECONDS
        wanted = {grant.sid for grant in ledger.ended}
        fresh: set[str] = set()
        while True:
            pending = self._heart.all(LogoutDelivery, LogoutDelivery.state == DeliveryState.PENDING)
            fresh |= self._hear()
            if not pending and wanted <= self._heard:
                break
            if time.monotonic() > deadline:
                yield f"{len(pending)} notices still wait, {len(wanted - self._heard)} never came"
                return
            time.sleep(0.02)
        self.notices += len(wanted)
        live = [SessionClient.sid.in_(sorted(fresh)), SessionClient.ended_at.is_(None)]
        if fresh and self._heart.all(SessionClient, and_(*live)):
            yield "an application was told of an end that is none"
        lost = or_(LogoutDelivery.state == DeliveryState.GAVE_UP, LogoutDelivery.state == DeliveryState.REFUSED)
        if self._heart.all(LogoutDelivery, lost):
            yield "a notice was given up"

    def _hear(self) -> set[str]:
        """Note what the application was told since the last time; returns those `sid`s."""
        bodies, fresh = self._receiver.bodies, set()
        while self._read < len(bodies):
            token = bodies[self._read].decode("ascii").partition("logout_token=")[2]
            fresh.add(jwt.decode(token, options={"verify_signature": False})["sid"])
            self._read += 1
        self._heard |= fresh
        return fresh

    def _over_http(self, ledger: Ledger) -> Iterable[str]:
        for grant in self._some(self._alive):
            answer = self._refresh(grant)
            if answer.status_code != 200:
                yield f"an acknowledged token is refused: {answer.status_code} {answer.text[:200]}"
        for grant in self._some([*ledger.ended, *ledger.revoked]):
            answer = self._refresh(grant)
            if answer.status_code != 400:
                yield f"a token of something ended gives {answer.status_code}"

    def _some(self, grants: list[Grant]) -> list[Grant]:
        return self._chance.sample(grants, min(ASKED_OVER_HTTP, len(grants)))

    def _refresh(self, grant: Grant) -> requests.Response:
        """Of a node that runs; what a restart of the database left broken in its pool is worth a 503."""
        form = {"grant_type": "refresh_token", "client_id": grant.client.id, "refresh_token": grant.refresh_token}
        deadline = time.monotonic() + NOTICE_SECONDS
        while True:
            node = self._chance.randrange(2)
            try:
                answer = requests.post(self._cluster.url(node, "/oauth2/token"), data=form, timeout=10)
            except requests.RequestException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            if answer.status_code != 503 or time.monotonic() > deadline:
                break
        if answer.status_code == 200:
            grant.refresh_token = answer.json()["refresh_token"]
        return answer
