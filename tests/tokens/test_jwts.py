"""JWTs of ours, out and in: what they say, and that the reader of one kind refuses every other and every forgery."""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import update

from idp.db.models import SigningKey
from idp.keys import ensure_keys, retire, rotate
from idp.keys.store import KeyStore
from idp.tokens import (
    AccessTokenClaims,
    Issued,
    read_access_token,
    read_id_token_hint,
    sign_access_token,
    sign_id_token,
)
from idp.tokens.jwts import MAXIMUM_LENGTH
from idp.tokens.verified import Verified, VerifiedTokens
from tests.support.heart import Heart

ISSUER = "https://id.example.com"


class Signing:
    """Two keys, one issued answer, and both tokens of it."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.keys = KeyStore(heart.database, heart.keyring)
        with heart.database.transaction() as tx:
            ensure_keys(tx, keyring=heart.keyring, now=heart.now)
        self.client = heart.client(allowed_resources=("https://api.example", "https://other.example"))
        self.issued: Issued = heart.tokens_for(heart.sign_in(heart.person()), self.client)

    def access_token(self, **changes: Any) -> str:
        signer = self.keys.signer("ES256", self.heart.now)
        return sign_access_token(self.issued._replace(**changes), signer=signer, issuer=ISSUER)

    def id_token(self, algorithm: str = "ES256", **changes: Any) -> str:
        return sign_id_token(
            self.issued._replace(**changes),
            signer=self.keys.signer(algorithm, self.heart.now),
            issuer=ISSUER,
            now=self.heart.now,
            lifetime=timedelta(minutes=5),
            access_token=self.access_token(),
        )

    def signed(self, claims: dict[str, Any], headers: dict[str, Any]) -> str:
        """Anything at all, under our own key."""
        signer = self.keys.signer("ES256", self.heart.now)
        return jwt.encode(claims, signer.key, algorithm="ES256", headers={"kid": signer.kid, **headers})

    def read(self, text: str, *, now: datetime | None = None, issuer: str = ISSUER) -> AccessTokenClaims | None:
        return read_access_token(text, keys=self.keys, issuer=issuer, now=now or self.heart.now)

    def read_hint(self, text: str, *, issuer: str = ISSUER) -> Any:
        return read_id_token_hint(text, keys=self.keys, issuer=issuer, now=self.heart.now)


@pytest.fixture
def signing(heart: Heart) -> Signing:
    return Signing(heart)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]
    return read[0], read[1]


@pytest.mark.spec("RFC 9068", "2.2")
def test_an_access_token_says_what_the_profile_requires_and_nothing_about_the_person(signing: Signing) -> None:
    header, claims = parts(signing.access_token())

    issued = signing.issued
    assert header == {"alg": "ES256", "kid": signing.keys.signer("ES256", signing.heart.now).kid, "typ": "at+jwt"}
    assert claims == {
        "iss": ISSUER,
        "sub": issued.sub,
        "aud": "http://localhost:9000/oauth2/userinfo",
        "client_id": signing.client.id,
        "iat": int(signing.heart.now.timestamp()),
        "exp": int(issued.access_expires_at.timestamp()),
        "jti": issued.jti,
        "scope": "openid",
        "family": issued.family_id,
        "auth_time": int(signing.heart.now.timestamp()),
    }


def test_several_resources_are_a_list_and_read_back_as_such(signing: Signing) -> None:
    token = signing.access_token(resources=["https://api.example", "https://other.example"])

    read = signing.read(token)

    assert parts(token)[1]["aud"] == ["https://api.example", "https://other.example"]
    assert read is not None
    assert read.audience == ("https://api.example", "https://other.example")


@pytest.mark.spec("OIDC Core", "3.1.3.6")
def test_an_id_token_is_tied_to_its_access_token_by_the_left_half_of_its_hash(signing: Signing) -> None:
    header, claims = parts(signing.id_token(nonce="n-1"))

    assert header["typ"] == "JWT"
    assert (claims["aud"], claims["sid"], claims["nonce"]) == (signing.client.id, signing.issued.sid, "n-1")
    assert len(base64.urlsafe_b64decode(claims["at_hash"] + "==")) == 16
    assert "nonce" not in parts(signing.id_token())[1]


def test_an_id_token_says_how_well_the_person_signed_in_and_repeats_the_nonce_when_there_are_such(
    signing: Signing,
) -> None:
    _, claims = parts(signing.id_token(acr="urn:example:two", nonce="n-0S6", amr=["pwd", "otp"]))
    _, bare = parts(signing.id_token())

    assert (claims["acr"], claims["nonce"], claims["amr"]) == ("urn:example:two", "n-0S6", ["pwd", "otp"])
    assert "acr" not in bare
    assert "nonce" not in bare


def test_an_access_token_lives_until_its_last_second_and_no_longer(signing: Signing) -> None:
    token, expires_at = signing.access_token(), signing.issued.access_expires_at

    assert signing.read(token, now=expires_at - timedelta(microseconds=1)) is not None
    assert signing.read(token, now=expires_at) is None


def test_an_id_token_is_a_hint_long_after_it_expired(signing: Signing) -> None:
    token = signing.id_token()
    signing.heart.clock.advance(days=60)

    hint = signing.read_hint(token)

    assert (hint.sub, hint.audience, hint.sid) == (signing.issued.sub, signing.client.id, signing.issued.sid)


@pytest.mark.spec("RFC 8725", "3.11")
def test_no_token_passes_for_one_of_another_kind(signing: Signing) -> None:
    access_token, id_token = signing.access_token(), signing.id_token()
    logout_token = signing.signed(parts(id_token)[1], {"typ": "logout+jwt"})

    assert signing.read(access_token) is not None
    assert signing.read(id_token) is None
    assert signing.read(logout_token) is None
    assert signing.read_hint(id_token) is not None
    assert signing.read_hint(access_token) is None
    assert signing.read_hint(logout_token) is None


def test_tokens_of_another_issuer_are_not_ours_even_under_our_key(signing: Signing) -> None:
    assert signing.read(signing.access_token(), issuer="https://other.example.com") is None
    assert signing.read_hint(signing.id_token(), issuer="https://other.example.com") is None


@pytest.mark.spec("RFC 8725", "3.1")
def test_the_algorithm_is_the_keys_and_never_the_headers(signing: Signing) -> None:
    header, claims = parts(signing.access_token())
    signer = signing.keys.signer("ES256", signing.heart.now)
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    public = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": header["kid"], "typ": "at+jwt"})
    # Key confusion: our public key as an HMAC secret. PyJWT refuses to make such a token, so it is made by hand.
    head, body = (_base64url(json.dumps(part).encode()) for part in ({**header, "alg": "HS256"}, claims))
    confused = f"{head}.{body}.{_base64url(_hmac(public, f'{head}.{body}'))}"
    under_rs256 = signing.id_token("RS256").split(".")
    mixed = ".".join([signing.access_token().split(".")[0], *under_rs256[1:]])

    for forged in (unsigned, confused, mixed):
        assert signing.read(forged) is None
        assert signing.read_hint(forged) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "at+jwt", "crit": ["exp"]},
        {"typ": "at+jwt", "jku": "https://evil.example/keys"},
        {"typ": "at+jwt", "jwk": {"kty": "EC"}},
        {"typ": "at+jwt", "x5u": "https://evil.example/cert"},
        {"typ": "AT+JWT"},
        {"typ": None},
        {"typ": "at+jwt", "kid": "unknown"},
    ],
    ids=str,
)
def test_headers_that_are_not_ours_make_a_token_worthless(signing: Signing, headers: dict[str, Any]) -> None:
    claims = parts(signing.access_token())[1]

    assert signing.read(signing.signed(claims, {"typ": "at+jwt"})) is not None
    assert signing.read(signing.signed(claims, headers)) is None


@pytest.mark.parametrize("kid", [None, 1, ["x"], {"x": 1}], ids=str)
def test_a_key_whose_name_is_no_text_is_no_key_of_ours_and_no_error(signing: Signing, kid: Any) -> None:
    _, claims, signature = signing.access_token().split(".")
    header = _base64url(json.dumps({"alg": "ES256", "kid": kid, "typ": "at+jwt"}).encode())

    assert signing.read(f"{header}.{claims}.{signature}") is None


@pytest.mark.parametrize("missing", ["jti", "family", "client_id", "scope", "sub", "aud", "exp", "iat", "iss"])
def test_a_token_without_one_of_its_claims_is_not_ours(signing: Signing, missing: str) -> None:
    claims = parts(signing.access_token())[1]

    assert signing.read(signing.signed({**claims}, {"typ": "at+jwt"})) is not None
    del claims[missing]
    assert signing.read(signing.signed(claims, {"typ": "at+jwt"})) is None


@pytest.mark.parametrize("value", [None, 1.5, 10**400, {"a": 1}], ids=["null", "fraction", "huge", "object"])
def test_a_token_whose_claim_is_something_else_is_neither_ours_nor_an_error(signing: Signing, value: Any) -> None:
    access, identity = (parts(text)[1] for text in (signing.access_token(), signing.id_token()))
    names = ("jti", "family", "client_id", "scope", "sub", "aud", "exp", "iat")

    read = {name: signing.read(signing.signed({**access, name: value}, {"typ": "at+jwt"})) for name in names}
    hints = [signing.read_hint(signing.signed({**identity, name: value}, {"typ": "JWT"})) for name in ("sub", "aud")]

    assert read == dict.fromkeys(names)
    assert hints == [None, None]


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "é.é.é", "." * 5000, "a" * 9000, "a.b", "\x00.\x00.\x00", "e30.e30.", "bnVsbA.bnVsbA.x"],
    ids=range(11),
)
def test_garbage_is_no_token_and_no_error(signing: Signing, text: str) -> None:
    assert signing.read(text) is None
    assert signing.read_hint(text) is None


def test_a_changed_signature_or_claim_is_refused(signing: Signing) -> None:
    header, claims, signature = signing.access_token().split(".")
    richer = _base64url(json.dumps({**parts(signing.access_token())[1], "scope": "openid admin"}).encode())

    assert signing.read(f"{header}.{richer}.{signature}") is None
    assert signing.read(f"{header}.{claims}.{signature[:-4]}AAAA") is None
    assert signing.read(f"{header}.{claims}.") is None
    assert signing.read(f"{header}.{claims}.{signature}") is not None


def test_what_was_read_before_is_asked_again_what_can_change(signing: Signing) -> None:
    """I2. Remembered is that some bytes were signed by some key, and nothing that has an end."""
    token, expires_at = signing.access_token(), signing.issued.access_expires_at
    first = signing.read(token)

    assert signing.read(token) == first is not None
    assert signing.read(token, now=expires_at) is None
    assert signing.read(token, issuer="https://other.example.com") is None
    assert signing.read(token[:-4] + "AAAA") is None
    assert signing.read(token) == first


def test_a_token_that_was_read_before_dies_with_its_key(signing: Signing) -> None:
    token, heart = signing.access_token(), signing.heart
    assert signing.read(token) is not None
    with heart.database.transaction() as tx:
        rotate(tx, algorithm="ES256", keyring=heart.keyring, now=heart.now, settings=heart.settings, immediately=True)
        retire(tx, kid=parts(token)[0]["kid"], compromised=True, now=heart.now, settings=heart.settings)

    signing.keys.forget()

    assert signing.read(token) is None


def test_a_token_that_was_read_before_is_good_until_its_key_is_published_no_more(signing: Signing) -> None:
    token, now = signing.access_token(), signing.heart.now
    until = now + timedelta(minutes=1)
    assert signing.read(token) is not None
    with signing.heart.database.transaction() as tx:
        tx.execute(update(SigningKey).values(retired_at=now, unpublished_at=until))
    signing.keys.forget()

    assert signing.read(token, now=until - timedelta(microseconds=1)) is not None
    assert signing.read(token, now=until) is None


def test_so_many_tokens_are_remembered_and_no_more(signing: Signing) -> None:
    claims = signing.read(signing.access_token())
    assert claims is not None
    kept = VerifiedTokens(most=2)
    for text in ("first", "second", "third"):
        kept.keep(text, Verified(claims, ISSUER, "kid"))

    assert kept.find("first") is None
    assert kept.find("second") == kept.find("third") == Verified(claims, ISSUER, "kid")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), hashlib.sha256)


def test_a_key_that_is_published_no_more_is_good_for_hints_alone(signing: Signing) -> None:
    access, hint = signing.access_token(), signing.id_token()
    with signing.heart.database.transaction() as tx:
        tx.execute(update(SigningKey).values(retired_at=signing.heart.now, unpublished_at=signing.heart.now))
    signing.keys.forget()

    assert signing.read(access) is None
    assert signing.read_hint(hint) is not None


def test_what_is_longer_than_any_of_ours_is_not_read_whoever_signed_it(signing: Signing) -> None:
    claims = parts(signing.access_token())[1]

    def of(padding: int) -> str:
        return signing.signed({**claims, "jti": "x" * padding}, {"typ": "at+jwt"})

    assert signing.read(of(5000)) is not None
    assert len(of(6000)) > MAXIMUM_LENGTH
    assert signing.read(of(6000)) is None
