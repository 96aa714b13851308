"""Recognising a client by its secret, changing secrets, disabling and deleting."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from idp.clients import (
    ClientSpec,
    CreatedClient,
    RotatedSecret,
    RotationUnderWay,
    authenticate_secret,
    create_client,
    delete_client,
    disable_client,
    enable_client,
    find_client,
    list_clients,
    rotate_client_secret,
)
from idp.db.engine import Database
from idp.db.models import Client, ClientSecret
from idp.kit.opaque import Secret
from idp.tokens import Issued, Refused
from tests.support.heart import Heart, race

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def wiki(database: Database) -> tuple[str, Secret]:
    with database.transaction() as tx:
        created = create_client(
            tx, spec=ClientSpec(name="Wiki", redirect_uris=("https://wiki.example/callback",)), now=NOW
        )
    assert isinstance(created, CreatedClient)
    assert created.secret is not None
    return created.client.id, created.secret


def is_recognised(database: Database, client_id: str, secret: str, now: datetime = NOW) -> bool:
    with database.reading() as tx:
        return authenticate_secret(tx, client_id, secret, now) is not None


def test_a_client_is_recognised_by_its_own_secret_only(database: Database, wiki: tuple[str, Secret]) -> None:
    client_id, secret = wiki

    assert is_recognised(database, client_id, secret.reveal())
    assert not is_recognised(database, client_id, secret.reveal() + "x")
    assert not is_recognised(database, client_id, "")
    assert not is_recognised(database, client_id[:-1], secret.reveal())


@pytest.mark.parametrize("odd", ["", "\x00", "\udc80", "x" * 65, "☃"])
def test_odd_identifiers_and_secrets_are_no_client_and_no_error(
    database: Database, wiki: tuple[str, Secret], odd: str
) -> None:
    with database.reading() as tx:
        assert find_client(tx, odd) is None
        assert authenticate_secret(tx, odd, "x", NOW) is None
        assert authenticate_secret(tx, wiki[0], odd, NOW) is None


def test_a_new_secret_leaves_the_old_one_the_overlap_and_no_longer(
    database: Database, wiki: tuple[str, Secret]
) -> None:
    client_id, old = wiki

    with database.transaction() as tx:
        new = rotate_client_secret(tx, client_id=client_id, overlap=timedelta(hours=1), now=NOW)

    assert isinstance(new, RotatedSecret)
    assert is_recognised(database, client_id, new.secret.reveal())
    assert is_recognised(database, client_id, old.reveal(), NOW + timedelta(minutes=59))
    assert not is_recognised(database, client_id, old.reveal(), NOW + timedelta(minutes=60))
    assert is_recognised(database, client_id, new.secret.reveal(), NOW + timedelta(days=1000))


def test_without_overlap_the_old_secret_dies_at_once(database: Database, wiki: tuple[str, Secret]) -> None:
    client_id, old = wiki

    with database.transaction() as tx:
        new = rotate_client_secret(tx, client_id=client_id, overlap=timedelta(0), now=NOW)

    assert isinstance(new, RotatedSecret)
    assert not is_recognised(database, client_id, old.reveal())


def test_a_public_client_gets_no_secret(database: Database) -> None:
    with database.transaction() as tx:
        created = create_client(
            tx, spec=ClientSpec(name="Tool", redirect_uris=("http://127.0.0.1/",), public=True), now=NOW
        )
        assert isinstance(created, CreatedClient)
        assert rotate_client_secret(tx, client_id=created.client.id, overlap=timedelta(0), now=NOW) is None


def test_a_disabled_client_is_found_but_not_recognised_until_it_is_enabled(
    database: Database, wiki: tuple[str, Secret]
) -> None:
    client_id, secret = wiki

    with database.transaction() as tx:
        assert disable_client(tx, client_id=client_id, now=NOW)
        assert not disable_client(tx, client_id=client_id, now=NOW)
    assert not is_recognised(database, client_id, secret.reveal())
    with database.transaction() as tx:
        found = find_client(tx, client_id)
        assert found is not None
        assert found.disabled_at == NOW
        assert enable_client(tx, client_id=client_id, now=NOW)

    assert is_recognised(database, client_id, secret.reveal())


def test_a_deleted_client_is_gone_for_good(database: Database, wiki: tuple[str, Secret]) -> None:
    client_id, secret = wiki

    with database.transaction() as tx:
        assert delete_client(tx, client_id=client_id, now=NOW)
        assert not delete_client(tx, client_id=client_id, now=NOW)
        assert not enable_client(tx, client_id=client_id, now=NOW)

    assert not is_recognised(database, client_id, secret.reveal())
    with database.reading() as tx:
        assert find_client(tx, client_id) is None
        assert list_clients(tx) == []


# ── Beside each other, on several nodes ───────────────────────────────────────────────────────────────────────────────


def test_no_authentication_fails_while_the_secret_rotates_with_an_overlap(heart: Heart) -> None:
    client, secret = registered(heart)
    nodes = [heart.open_database() for _ in range(4)]

    def authenticate(node: Database) -> bool:
        for _ in range(15):
            with node.reading() as tx:
                if authenticate_secret(tx, client.id, secret, heart.now) is None:
                    return False
        return True

    def rotate() -> bool:
        with heart.database.transaction() as tx:
            overlap = timedelta(hours=1)
            return rotate_client_secret(tx, client_id=client.id, overlap=overlap, now=heart.now) is not None

    assert all(race([rotate, *(partial(authenticate, node) for node in nodes)]))


def test_of_rotations_at_once_one_happens_and_two_secrets_are_live(heart: Heart) -> None:
    client, secret = registered(heart)
    nodes = [heart.open_database() for _ in range(4)]

    def rotate(node: Database) -> RotatedSecret | RotationUnderWay | None:
        with node.transaction() as tx:
            return rotate_client_secret(tx, client_id=client.id, overlap=timedelta(hours=1), now=heart.now)

    answers = race([partial(rotate, node) for node in nodes])

    (made,) = [answer for answer in answers if isinstance(answer, RotatedSecret)]
    ends_at = heart.now + timedelta(hours=1)
    assert answers.count(RotationUnderWay(ends_at)) == 3
    assert len(heart.all(ClientSecret)) == 2
    with heart.database.reading() as tx:
        assert authenticate_secret(tx, client.id, made.secret.reveal(), ends_at)
        assert authenticate_secret(tx, client.id, secret, heart.now)
        assert authenticate_secret(tx, client.id, secret, ends_at) is None


def test_after_the_commit_that_disables_a_client_no_other_node_refreshes(heart: Heart) -> None:
    client = heart.client()
    tokens = heart.tokens_for(heart.sign_in(heart.person()), client)
    other_node = heart.open_database()
    assert isinstance(heart.refresh(tokens, client, database=other_node), Issued)

    with heart.database.transaction() as tx:
        disable_client(tx, client_id=client.id, now=heart.now)

    assert isinstance(heart.refresh(tokens, client, database=other_node), Refused)


def registered(heart: Heart) -> tuple[Client, str]:
    spec = ClientSpec(name="Wiki", redirect_uris=("https://wiki.example/callback",))
    with heart.database.transaction() as tx:
        created = create_client(tx, spec=spec, now=heart.now)
    assert isinstance(created, CreatedClient)
    assert created.secret is not None
    return created.client, created.secret.reveal()
