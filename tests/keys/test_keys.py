"""The life of a signing key: published, signing, retired, a hint's verifier, forgotten; and the cache of a process."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from sqlalchemy import select

from idp.db.engine import Database
from idp.db.models import SigningKey
from idp.keys import (
    KeyProblem,
    KeyStore,
    KeyUnavailable,
    create_key,
    ensure_keys,
    list_keys,
    purge_keys,
    retire,
    rotate,
    thumbprint,
)
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret
from idp.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEYRING = Keyring(Secret("k" * 48))
SETTINGS = Settings(var_dir=Path("unused"))


class Ticks:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def store(database: Database, ticks: Ticks) -> KeyStore:
    return KeyStore(database, KEYRING, monotonic=ticks)


def add_key(database: Database, *, activates_at: datetime = NOW, algorithm: str = "ES256") -> str:
    with database.transaction() as tx:
        return create_key(tx, algorithm=algorithm, keyring=KEYRING, now=NOW, activates_at=activates_at).kid


@pytest.mark.spec("RFC 7638", "3.1")
def test_the_thumbprint_is_that_of_the_rfcs_example() -> None:
    jwk = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }

    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_fresh_installation_gets_one_key_per_algorithm_active_at_once(database: Database, store: KeyStore) -> None:
    with database.transaction() as tx:
        made = ensure_keys(tx, keyring=KEYRING, now=NOW)
        again = ensure_keys(tx, keyring=KEYRING, now=NOW)

    assert [key.algorithm for key in made] == ["ES256", "RS256"]
    assert again == []
    rsa = store.signer("RS256", NOW).key
    assert isinstance(rsa, RSAPrivateKey)
    assert rsa.key_size == 2048


def test_what_a_signer_signs_verifies_with_the_published_key(database: Database, store: KeyStore) -> None:
    kid = add_key(database)
    signer = store.signer("ES256", NOW)

    token = jwt.encode({"sub": "x"}, signer.key, signer.algorithm, headers={"kid": signer.kid})

    (jwk,) = store.jwks(NOW)["keys"]
    assert jwk["kid"] == kid == thumbprint(jwk)
    assert (jwk["use"], jwk["alg"], jwk["kty"], jwk["crv"]) == ("sig", "ES256", "EC", "P-256")
    assert jwt.decode(token, jwt.PyJWK(jwk).key, algorithms=["ES256"]) == {"sub": "x"}


def test_the_private_part_is_sealed_and_nothing_of_it_is_published(database: Database, store: KeyStore) -> None:
    kid = add_key(database, algorithm="RS256")

    with database.reading() as tx:
        row = tx.scalars(select(SigningKey)).one()
    assert KEYRING.unseal("signing-key", kid, row.private_key_sealed)[:1] == b"\x30"  # DER: a sequence
    assert set(store.jwks(NOW)["keys"][0]) == {"kty", "n", "e", "kid", "use", "alg"}
    assert "key=" not in repr(store.signer("RS256", NOW))


def test_keys_sealed_under_another_secret_are_an_outage_and_not_a_signature(database: Database) -> None:
    add_key(database)

    with pytest.raises(KeyUnavailable):
        KeyStore(database, Keyring(Secret("other" * 10))).signer("ES256", NOW)


def test_without_a_key_for_the_algorithm_nothing_is_signed(database: Database, store: KeyStore) -> None:
    add_key(database, activates_at=NOW + DAY)

    with pytest.raises(KeyUnavailable):
        store.signer("ES256", NOW)
    with pytest.raises(KeyUnavailable):
        store.signer("RS256", NOW + DAY)
    assert store.signer("ES256", NOW + DAY).algorithm == "ES256"


def test_a_successor_is_published_before_it_signs_and_its_predecessor_after(
    database: Database, store: KeyStore
) -> None:
    old = add_key(database)
    with database.transaction() as tx:
        new = rotate(tx, algorithm="ES256", keyring=KEYRING, now=NOW, settings=SETTINGS, immediately=False).kid
    takeover = NOW + SETTINGS.signing_key_prepublish_lifetime
    gone = takeover + timedelta(hours=1) + SETTINGS.jwks_cache_lifetime

    def published(now: datetime) -> set[str]:
        return {jwk["kid"] for jwk in store.jwks(now)["keys"]}

    assert published(NOW) == {old, new}
    assert store.signer("ES256", takeover - timedelta(seconds=1)).kid == old
    assert store.signer("ES256", takeover).kid == new
    assert published(gone - timedelta(seconds=1)) == {old, new}
    assert published(gone) == {new}
    assert store.verification_key(old, gone) is None
    assert store.verification_key(old, gone, for_hints=True) is not None


def test_an_immediate_rotation_signs_with_the_new_key_at_once(database: Database, store: KeyStore) -> None:
    old = add_key(database)

    with database.transaction() as tx:
        new = rotate(tx, algorithm="ES256", keyring=KEYRING, now=NOW, settings=SETTINGS, immediately=True).kid

    assert store.signer("ES256", NOW).kid == new
    assert store.verification_key(old, NOW) is not None


def test_rotating_one_algorithm_leaves_the_other_alone(database: Database, store: KeyStore) -> None:
    with database.transaction() as tx:
        ensure_keys(tx, keyring=KEYRING, now=NOW)
    before = store.signer("RS256", NOW).kid

    with database.transaction() as tx:
        rotate(tx, algorithm="ES256", keyring=KEYRING, now=NOW, settings=SETTINGS, immediately=True)
    store.forget()

    assert store.signer("RS256", NOW + DAY).kid == before


def test_a_compromised_key_verifies_nothing_not_even_hints(database: Database, store: KeyStore) -> None:
    bad, good = add_key(database), add_key(database)

    with database.transaction() as tx:
        retired = retire(tx, kid=bad, compromised=True, now=NOW, settings=SETTINGS)

    assert isinstance(retired, SigningKey)
    assert store.verification_key(bad, NOW, for_hints=True) is None
    assert store.verification_key(bad, NOW) is None
    assert [jwk["kid"] for jwk in store.jwks(NOW)["keys"]] == [good]
    assert store.signer("ES256", NOW).kid == good


def test_a_retired_key_stops_signing_and_goes_on_verifying(database: Database, store: KeyStore) -> None:
    tired, fresh = add_key(database), add_key(database)

    with database.transaction() as tx:
        retire(tx, kid=tired, compromised=False, now=NOW, settings=SETTINGS)

    assert store.signer("ES256", NOW).kid == fresh
    assert store.verification_key(tired, NOW + timedelta(hours=1)) is not None


def test_the_last_signing_key_cannot_be_retired_and_an_unknown_one_neither(database: Database) -> None:
    only = add_key(database)

    with database.transaction() as tx:
        refused = retire(tx, kid=only, compromised=False, now=NOW, settings=SETTINGS)
        unknown = retire(tx, kid="nonsense", compromised=False, now=NOW, settings=SETTINGS)

    assert isinstance(refused, KeyProblem)
    assert "idp keys rotate" in refused.problem
    assert isinstance(unknown, KeyProblem)


def test_a_key_is_forgotten_when_no_session_can_bring_a_hint_of_it(database: Database) -> None:
    old = add_key(database)
    with database.transaction() as tx:
        new = rotate(tx, algorithm="ES256", keyring=KEYRING, now=NOW, settings=SETTINGS, immediately=True).kid
    longest = max(SETTINGS.app_absolute_lifetime, SETTINGS.browser_absolute_lifetime)

    with database.transaction() as tx:
        assert purge_keys(tx, now=NOW + longest, settings=SETTINGS) == 0
        assert purge_keys(tx, now=NOW + longest + timedelta(seconds=1), settings=SETTINGS) == 1
        assert [key.kid for key in list_keys(tx)] == [new] != [old]


def test_a_process_keeps_its_keys_for_some_seconds_and_then_sees_the_rotation(
    database: Database, store: KeyStore, ticks: Ticks
) -> None:
    old = add_key(database)
    assert store.signer("ES256", NOW).kid == old
    with database.transaction() as tx:
        new = rotate(tx, algorithm="ES256", keyring=KEYRING, now=NOW, settings=SETTINGS, immediately=True).kid

    ticks.seconds += 9
    assert store.signer("ES256", NOW).kid == old
    ticks.seconds += 2
    assert store.signer("ES256", NOW).kid == new


def test_a_name_from_another_node_is_looked_up_at_once_and_invented_ones_once_a_second(
    database: Database, store: KeyStore, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(database)
    store.jwks(NOW)
    ticks.seconds += 2
    other_nodes = add_key(database)
    assert store.verification_key(other_nodes, NOW) is not None

    reads = 0
    reading = database.reading

    def counting() -> object:
        nonlocal reads
        reads += 1
        return reading()

    monkeypatch.setattr(database, "reading", counting)
    for number in range(50):
        assert store.verification_key(f"invented-{number}", NOW) is None
    assert reads == 0
    ticks.seconds += 1
    for number in range(50):
        assert store.verification_key(f"invented-{number}", NOW) is None
    assert reads == 1
