"""Signing keys that change every ten seconds, under load on two nodes, for applications that keep the JWKS they have.

An application here fetches the keys again only when its copy is older than the answer said it may be, and never
because it does not know a key: everything that it is given must verify with what it has. Time is moved by hand, for
the processes' own key caches too.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest

from idp import keys
from idp.kit.opaque import Secret
from idp.worker.steps import deliver_due
from tests.support.characters import Provider, RelyingParty, Tokens
from tests.support.heart import HandClock
from tests.support.receivers import Receiver, Receivers

EVERY = timedelta(seconds=10)
STEPS = 100  # copies are fetched three times, and keys leave meanwhile
AHEAD = timedelta(minutes=6)  # the copies' five minutes, and what a node keeps


@dataclass
class Copy:
    """An application's copy of the published keys."""

    provider: Provider
    clock: HandClock
    keys: dict[str, Any] = field(default_factory=dict)
    fetched_at: datetime | None = None
    most_age: timedelta = timedelta(0)
    fetches: int = 0

    def verify(self, token: str, audience: str | None = None) -> dict[str, Any]:
        """The claims, verified with the copy."""
        now = self.clock.now()
        if self.fetched_at is None or now - self.fetched_at >= self.most_age:
            answer = self.provider.get("/oauth2/jwks")
            self.most_age = timedelta(seconds=int(answer.headers["Cache-Control"].rpartition("=")[2]))
            self.keys = {key["kid"]: jwt.PyJWK(key) for key in answer.get_json()["keys"]}
            self.fetched_at, self.fetches = now, self.fetches + 1
        kid = jwt.get_unverified_header(token)["kid"]
        assert kid in self.keys, "signed with a key that the copy does not have"
        options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": audience is not None}
        claims: dict[str, Any] = jwt.decode(
            token, self.keys[kid].key, algorithms=["ES256"], audience=audience, options=options
        )
        return claims


@pytest.fixture
def nodes(open_provider: Callable[..., Provider], clock: HandClock, receiver: Receiver) -> list[Provider]:
    allow = (f"127.0.0.1:{receiver.port}",)
    made = [open_provider(signing_key_prepublish_lifetime=AHEAD, outbound_allow=allow) for _ in range(2)]
    for node in made:
        node.services.keys._monotonic = clock_seconds(clock)
        node.services.keys.forget()
    return made


@pytest.fixture
def receiver(receivers: Receivers) -> Receiver:
    return receivers()


def clock_seconds(clock: HandClock) -> Callable[[], float]:
    return lambda: clock.now().timestamp()


def rotate(node: Provider) -> None:
    with node.services.database.transaction() as tx:
        keys.rotate(
            tx,
            algorithm="ES256",
            keyring=node.services.keyring,
            now=node.heart.now,
            settings=node.settings,
            immediately=False,
        )


def test_whoever_keeps_the_published_keys_for_as_long_as_allowed_verifies_everything(
    nodes: list[Provider], clock: HandClock, receiver: Receiver
) -> None:
    nodes[0].person("ada")
    spec = {"id_token_signed_response_alg": "ES256", "backchannel_logout_uri": receiver.uri}
    rps: list[RelyingParty] = [nodes[0].relying_party(name=name, **spec) for name in ("One", "Two")]
    browser = nodes[0].visitor()
    tokens: list[Tokens] = [rp.sign_in(browser) for rp in rps]
    asking = [
        (number, RelyingParty(node, rp.client, Secret(rp.secret or "")))
        for node in nodes
        for number, rp in enumerate(rps)
    ]
    copies = [Copy(nodes[0], clock), Copy(nodes[1], clock)]
    held: list[tuple[datetime, str]] = []
    signers: set[str] = set()

    def refresh(one: tuple[int, RelyingParty]) -> tuple[int, RelyingParty, Tokens, bool]:
        number, rp = one
        answer = rp.refresh(tokens[number])
        return number, rp, answer, rp.introspect(answer.access_token)["active"]

    for step in range(STEPS):
        rotate(nodes[step % 2])
        clock.advance(seconds=EVERY.total_seconds())
        with ThreadPoolExecutor(len(asking)) as pool:  # both applications at both nodes at once, as keys change
            answers = list(pool.map(refresh, asking))
        for number, rp, answer, is_active in answers:
            tokens[number] = answer
            for copy in copies:
                copy.verify(answer.id_token, rp.id)
                copy.verify(answer.access_token)
            assert is_active is True
            signers.add(jwt.get_unverified_header(answer.access_token)["kid"])
            held.append((clock.now(), answer.access_token))
        held = [(made_at, token) for made_at, token in held if clock.now() - made_at < timedelta(minutes=5)]
        for copy in copies:  # what was handed out before is verified for as long as it lives
            copy.verify(held[0][1])
    browser.get(f"/oauth2/logout?id_token_hint={tokens[0].id_token}")
    deliver_due(nodes[1].services)

    assert len(signers) > STEPS / 3, "the keys did not change: the test says nothing"
    assert copies[0].fetches <= 1 + STEPS * EVERY / timedelta(minutes=5)
    assert len(receiver.tokens) == 2
    for token in receiver.tokens:
        assert copies[0].verify(token)["events"]
