"""Retiring a key never leaves a moment, now or later, at which nothing can be signed."""

from datetime import timedelta

from idp import keys
from idp.keys import KeyProblem
from tests.support.heart import Heart


def _rotate(heart: Heart, *, immediately: bool) -> str:
    with heart.database.transaction() as tx:
        return keys.rotate(
            tx,
            algorithm="ES256",
            keyring=heart.keyring,
            now=heart.now,
            settings=heart.settings,
            immediately=immediately,
        ).kid


def _retire(heart: Heart, kid: str, *, compromised: bool = False) -> object:
    with heart.database.transaction() as tx:
        return keys.retire(tx, kid=kid, compromised=compromised, now=heart.now, settings=heart.settings)


def _first_key(heart: Heart) -> str:
    with heart.database.transaction() as tx:
        created = keys.create_key(tx, algorithm="ES256", keyring=heart.keyring, now=heart.now, activates_at=heart.now)
        return created.kid


def test_a_successor_that_has_not_taken_over_yet_cannot_be_retired(heart: Heart) -> None:
    """Its predecessor stops at the moment when it was to begin: a day later every sign-in would fail."""
    _first_key(heart)
    successor = _rotate(heart, immediately=False)

    assert isinstance(_retire(heart, successor), KeyProblem)

    heart.clock.advance(days=1, seconds=1)
    store = keys.KeyStore(heart.database, heart.keyring)
    assert store.signer("ES256", heart.now).kid == successor


def test_a_compromised_successor_can_be_retired_once_another_has_taken_over(heart: Heart) -> None:
    _first_key(heart)
    successor = _rotate(heart, immediately=False)
    third = _rotate(heart, immediately=True)

    assert not isinstance(_retire(heart, successor, compromised=True), KeyProblem)

    heart.clock.moment += timedelta(days=400)
    assert keys.KeyStore(heart.database, heart.keyring).signer("ES256", heart.now).kid == third


def test_a_key_that_signs_no_more_can_be_declared_compromised_during_a_planned_rotation(heart: Heart) -> None:
    first = _first_key(heart)
    _rotate(heart, immediately=True)
    _rotate(heart, immediately=False)

    assert not isinstance(_retire(heart, first, compromised=True), KeyProblem)
