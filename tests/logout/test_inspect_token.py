"""The inspector of logout tokens: each rule of Back-Channel Logout §2.6 is seen to be kept, and to be broken."""

from typing import Any

import jwt
import pytest

from idp.logout.inspect_token import inspect_logout_token
from idp.logout.logout_token import LOGOUT_EVENT
from tests.support.characters import ISSUER, Provider


def broken(provider: Provider, header: dict[str, Any] | None = None, **changes: Any) -> set[str]:
    """The rules that a token with these changes breaks; a change to None leaves the claim out."""
    now = provider.heart.now
    signer = provider.services.keys.signer("ES256", now)
    seconds = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": "wiki",
        "iat": seconds,
        "exp": seconds + 120,
        "jti": "j",
        "events": {LOGOUT_EVENT: {}},
        "sub": "s",
        "sid": "sid",
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    headers = {"typ": "logout+jwt", "kid": signer.kid, **(header or {})}
    token = jwt.encode(claims, signer.key, algorithm="ES256", headers=headers)
    found = inspect_logout_token(token, keys=provider.services.keys, issuer=ISSUER, client_id="wiki", now=now)
    assert len(found) == 12 or not found[0].is_kept
    return {finding.rule for finding in found if not finding.is_kept}


@pytest.mark.spec("Back-Channel Logout", "2.6")
def test_a_good_token_breaks_no_rule(provider: Provider) -> None:
    assert broken(provider) == set()
    assert broken(provider, sid=None) == broken(provider, sub=None) == set()
    assert broken(provider, aud=["wiki", "other"]) == set()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"iss": "http://localhost/"}, "§2.6 iss is the issuer"),
        ({"aud": "other"}, "§2.6 aud names the client"),
        ({"aud": None}, "§2.6 aud names the client"),
        ({"iat": 1}, "§2.6 iat is a moment just past"),
        ({"iat": "now"}, "§2.6 iat is a moment just past"),
        ({"exp": 1}, "§2.6 exp has not passed"),
        ({"exp": 10**30}, "§2.6 exp has not passed"),
        ({"sub": None, "sid": None}, "§2.6 sub, sid or both"),
        ({"events": None}, "§2.6 events has the logout event"),
        ({"events": {LOGOUT_EVENT: True}}, "§2.6 events has the logout event"),
        ({"nonce": "n"}, "§2.6 no nonce"),
        ({"jti": None}, "§2.4 a jti"),
        ({"header": {"typ": "JWT"}}, "§2.4 typ is logout+jwt"),
        ({"header": {"kid": "unknown"}}, "§2.6 the signature is the issuer's"),
    ],
)
def test_each_rule_that_is_broken_is_named_and_no_other(provider: Provider, changes: dict[str, Any], rule: str) -> None:
    assert broken(provider, **changes) == {rule}


def test_an_unsigned_token_is_never_good(provider: Provider) -> None:
    token = jwt.encode({"iss": ISSUER}, "", algorithm="none")

    found = inspect_logout_token(
        token, keys=provider.services.keys, issuer=ISSUER, client_id=None, now=provider.heart.now
    )

    assert {"§2.6 the algorithm is the one expected, never none", "§2.6 the signature is the issuer's"} <= {
        finding.rule for finding in found if not finding.is_kept
    }
