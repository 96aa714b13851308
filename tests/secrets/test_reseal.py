"""Signing keys move to a new secret, all or none, and then the old secret is needed no more."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.db.engine import Database
from idp.db.models import AuditEvent, SigningKey
from idp.keys import KeyStore, create_key, reseal, retire, rotate
from idp.kit.keyring import CannotUnseal, Keyring, SealedUnder
from idp.kit.opaque import Secret
from idp.settings import Settings
from tests.cli.shell import Shell

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW, OLDER = Secret("old " * 10), Secret("new " * 10), Secret("older " * 8)
OLD_SECRET = "an-old-secret-for-tests-only-and-long-enough"
NEW_SECRET = "a-newer-secret-for-tests-only-and-long-enough"


def add_key(database: Database, secret: Secret) -> str:
    with database.transaction() as tx:
        return create_key(tx, algorithm="ES256", keyring=Keyring(secret), now=NOW, activates_at=NOW).kid


def reseal_under(database: Database, keyring: Keyring) -> list[str]:
    with database.transaction() as tx:
        return reseal(tx, keyring=keyring, now=NOW)


def sealed(database: Database) -> dict[str, bytes]:
    with database.reading() as tx:
        return {key.kid: key.private_key_sealed for key in tx.scalars(select(SigningKey))}


@pytest.mark.parametrize(
    "keyring", [Keyring(NEW, [OLD, OLDER]), Keyring(NEW, leaked=[OLD, OLDER])], ids=["previous", "leaked"]
)
def test_every_key_moves_to_the_current_secret_and_the_old_ones_may_go(database: Database, keyring: Keyring) -> None:
    kids = sorted([add_key(database, OLD), add_key(database, OLDER)])
    add_key(database, NEW)
    public_before = KeyStore(database, keyring).jwks(NOW)

    assert sorted(reseal_under(database, keyring)) == kids

    alone = Keyring(NEW)
    assert {alone.sealed_under(value) for value in sealed(database).values()} == {SealedUnder.CURRENT}
    store = KeyStore(database, alone)
    assert store.jwks(NOW) == public_before
    assert store.signer("ES256", NOW).kid in {jwk["kid"] for jwk in public_before["keys"]}


def test_without_it_the_old_secret_is_needed(database: Database) -> None:
    add_key(database, OLD)

    with pytest.raises(CannotUnseal):
        reseal_under(database, Keyring(NEW))


def test_a_second_time_changes_nothing_and_leaves_no_trace(database: Database) -> None:
    kid = add_key(database, OLD)
    assert reseal_under(database, Keyring(NEW, [OLD])) == [kid]
    before = sealed(database)

    assert reseal_under(database, Keyring(NEW, [OLD])) == []

    assert sealed(database) == before
    with database.reading() as tx:
        told = tx.scalars(select(AuditEvent.details).where(AuditEvent.kind == "keys_resealed")).all()
    assert told == [{"kids": [kid]}]


def test_one_key_that_does_not_open_leaves_all_as_they_were(database: Database) -> None:
    for secret in (OLD, OLDER, OLD):
        add_key(database, secret)
    before = sealed(database)

    with pytest.raises(CannotUnseal):
        reseal_under(database, Keyring(NEW, [OLD]))

    assert sealed(database) == before


def test_a_compromised_key_that_nobody_can_open_is_not_in_the_way(database: Database) -> None:
    lost = add_key(database, OLDER)
    with database.transaction() as tx:
        rotate(
            tx,
            algorithm="ES256",
            keyring=Keyring(OLD),
            now=NOW,
            settings=Settings(var_dir=Path("unused")),
            immediately=True,
        )
        retire(tx, kid=lost, compromised=True, now=NOW, settings=Settings(var_dir=Path("unused")))
    before = sealed(database)[lost]

    assert lost not in reseal_under(database, Keyring(NEW, [OLD]))

    assert sealed(database)[lost] == before
    assert KeyStore(database, Keyring(NEW)).signer("ES256", NOW).kid != lost


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def sealed_under(shell: Shell) -> set[str]:
    return {key["sealed_under"] for key in shell.json("keys", "list")}


def with_new_secret(shell: Shell, **older: str) -> Shell:
    return Shell({**shell.environment, "IDP_SECRET": NEW_SECRET, **older})


@pytest.mark.parametrize("name", ["IDP_SECRET_PREVIOUS", "IDP_SECRET_LEAKED"])
@pytest.mark.parametrize("command", [["keys", "reseal"], ["keys", "rotate"], ["init"]], ids=" ".join)
def test_commands_that_write_keys_seal_the_old_ones_anew(
    database_url: str, tmp_path: Path, name: str, command: list[str]
) -> None:
    first = Shell({"IDP_VAR_DIR": str(tmp_path), "IDP_SECRET": OLD_SECRET, "IDP_DATABASE_URL": database_url})
    first.json("init")
    both = with_new_secret(first, **{name: OLD_SECRET})
    alone = with_new_secret(first)
    assert sealed_under(both) == {"leaked secret" if name == "IDP_SECRET_LEAKED" else "previous secret"}
    assert "Set IDP_SECRET" in alone.refusal("keys", "rotate")

    both.json(*command)

    assert sealed_under(alone) == {"current secret"}
    assert alone.json("keys", "reseal") == {"resealed": []}
    alone.json("keys", "rotate")
