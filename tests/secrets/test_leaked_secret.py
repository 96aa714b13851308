"""From the moment a secret is called leaked, nothing made under it is taken, and only sealed keys still open."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from idp.kit.keyring import CannotUnseal, Keyring
from idp.kit.opaque import Secret
from idp.settings import Settings, SettingsError, load_settings
from idp.tokens.refresh_tokens import RefreshToken, read_refresh_token, write_refresh_token
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import Visitor

LEAKED, FRESH = Secret("the leaked secret of this installation"), Secret("the fresh secret of this installation!")
GARBAGE = "idp_rt_" + "A" * 96


class Node(Provider):
    """One more node on the same database: it makes no key of its own."""

    def keys(self, algorithm: str) -> None:
        pass


OpenNode = Callable[..., Node]


@pytest.fixture
def open_node(provider: Provider) -> Iterator[OpenNode]:
    """Opens a node with other secrets on the provider's database."""
    opened: list[Node] = []

    def node_with(**secrets: Any) -> Node:
        opened.append(Node(provider.heart, provider.settings.model_copy(update=secrets)))
        return opened[-1]

    yield node_with
    for node in opened:
        node.services.database.engine.dispose()


@pytest.fixture
def after_the_leak(provider: Provider, open_node: OpenNode) -> Node:
    """A node that was told of the leak."""
    return open_node(secret=FRESH, secret_leaked=(provider.settings.known_secret,))


def at(node: Provider, app: RelyingParty) -> RelyingParty:
    """The same client, talking to another node."""
    return RelyingParty(node, app.client, Secret(app.secret) if app.secret else None)


def test_a_refresh_token_of_the_leaked_secret_is_answered_exactly_like_garbage(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, after_the_leak: Node
) -> None:
    issued = rp.sign_in(signed_in)
    there = at(after_the_leak, rp)

    refused, garbage = there.refresh(issued), there.refresh(GARBAGE)

    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert refused.body == garbage.body
    kept = {name: value for name, value in refused.response.headers if name not in {"Date", "X-Request-Id"}}
    assert kept == {name: value for name, value in garbage.response.headers if name not in {"Date", "X-Request-Id"}}
    assert there.introspect(issued.refresh_token) == there.introspect(GARBAGE) == {"active": False}
    assert there.revoke(issued.refresh_token).data == there.revoke(GARBAGE).data


def test_that_refusal_touches_nothing_so_an_attacker_with_the_secret_signs_nobody_out(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, after_the_leak: Node
) -> None:
    issued = rp.sign_in(signed_in)
    there = at(after_the_leak, rp)

    there.refresh(issued)
    there.revoke(issued.refresh_token)

    assert rp.refresh(issued).error is None  # a node that does not know of the leak yet


def test_a_previous_secret_that_did_not_leak_is_still_good_and_the_new_token_is_the_new_secrets(
    provider: Provider,
    rp: RelyingParty,
    signed_in: Visitor,
    clock: HandClock,
    open_node: OpenNode,
    after_the_leak: Node,
) -> None:
    old = provider.settings.known_secret
    issued = rp.sign_in(signed_in)
    clock.advance(minutes=1)
    switched = at(open_node(secret=FRESH, secret_previous=(old,)), rp)

    renewed = switched.refresh(issued)
    clock.advance(minutes=1)

    assert renewed.error is None
    assert at(after_the_leak, rp).refresh(renewed).error is None


def test_a_rolling_change_refuses_nothing_at_any_step(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, clock: HandClock, open_node: OpenNode
) -> None:
    old = provider.settings.known_secret
    accepting = at(open_node(secret=old, secret_previous=(FRESH,)), rp)
    switched = at(open_node(secret=FRESH, secret_previous=(old,)), rp)

    tokens = rp.sign_in(signed_in)
    for node in (accepting, rp, accepting, switched, accepting, switched, accepting):
        clock.advance(minutes=1)
        tokens = node.refresh(tokens)
        assert tokens.error is None


def test_after_the_leak_people_sign_in_again_and_their_id_tokens_still_verify(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, after_the_leak: Node
) -> None:
    before = rp.sign_in(signed_in)
    there = at(after_the_leak, rp)
    visitor = after_the_leak.visitor()

    visitor.sign_in("ada")
    again = there.sign_in(visitor)

    assert there.refresh(again).error is None
    assert there.read(before.id_token)["sub"] == there.read(again.id_token)["sub"]


def test_a_browser_cookie_of_the_leaked_secret_is_not_read(provider: Provider, after_the_leak: Node) -> None:
    browser = provider.visitor()
    with browser.client.session_transaction() as cookie:
        cookie["browser"] = "remembered"
    value = browser.cookie("idp_browser") or ""

    other = after_the_leak.visitor()
    other.client.set_cookie("idp_browser", value)

    with other.client.session_transaction() as cookie:
        assert "browser" not in cookie


def test_the_keyring_opens_what_a_leaked_secret_sealed_and_does_nothing_else_with_it() -> None:
    before, after = Keyring(LEAKED), Keyring(FRESH, leaked=[LEAKED])
    sealed = before.seal("signing-key", "kid", b"private")
    text = write_refresh_token(RefreshToken("0" * 26, 1, b"s" * 16), before).reveal()

    assert after.unseal("signing-key", "kid", sealed) == b"private"
    assert read_refresh_token(text, before) is not None
    assert read_refresh_token(text, after) is None
    assert not after.knows(before.current_version)
    with pytest.raises(KeyError):
        after.key("refresh-token", before.current_version)
    with pytest.raises(KeyError):
        after.tag("refresh-token", b"x", before.current_version)
    with pytest.raises(CannotUnseal):
        Keyring(FRESH).unseal("signing-key", "kid", sealed)


def load(**variables: str) -> Settings:
    return load_settings({"IDP_VAR_DIR": "unused", "IDP_SECRET": "a" * 40, **variables})


@pytest.mark.parametrize("name", ["IDP_SECRET", "IDP_SECRET_PREVIOUS"])
def test_a_secret_that_is_leaked_and_trusted_at_once_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} has a secret that IDP_SECRET_LEAKED calls leaked") as refused:
        load(**{"IDP_SECRET_LEAKED": f"{'b' * 40},{'c' * 40}", name: "c" * 40})

    assert "ccc" not in str(refused.value)
    assert len(load(IDP_SECRET_LEAKED=f"{'b' * 40},{'c' * 40}").secret_leaked) == 2


def test_a_leaked_secret_that_is_cut_short_is_refused_and_none_is_ever_logged() -> None:
    with pytest.raises(SettingsError, match=r"^IDP_SECRET_LEAKED is shorter"):
        load(IDP_SECRET_LEAKED="b" * 31)

    assert "b" * 40 in load(IDP_SECRET_LEAKED="b" * 40).secret_texts()
