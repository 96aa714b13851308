"""What becomes of an account: disabled, enabled, deleted to a tombstone, given another password."""

from functools import partial

import pytest

from idp import users
from idp.clients import grant_consent
from idp.db.models import AuditEvent, Consent, MailMessage, MailState, User
from idp.sessions import Device, SignInRefused, start_browser_session
from tests.support.heart import Heart, race


def disable(heart: Heart, person: User) -> bool:
    with heart.database.transaction() as tx:
        return users.disable_user(tx, user_id=person.id, actor="test", now=heart.now)


def enable(heart: Heart, person: User) -> bool:
    with heart.database.transaction() as tx:
        return users.enable_user(tx, user_id=person.id, actor="test", now=heart.now)


def delete(heart: Heart, person: User) -> bool:
    with heart.database.transaction() as tx:
        return users.delete_user(tx, user_id=person.id, actor="test", now=heart.now)


def set_password(heart: Heart, person: User, password_hash: str = "new") -> bool:
    with heart.database.transaction() as tx:
        return users.set_password(tx, user_id=person.id, password_hash=password_hash, actor="test", now=heart.now)


def again(heart: Heart, person: User) -> User:
    (found,) = heart.all(User, User.id == person.id)
    return found


def test_disabling_and_enabling_each_count_once_and_are_audited(heart: Heart) -> None:
    person, other = heart.person(), heart.person()

    done = [disable(heart, person), disable(heart, person), enable(heart, person), enable(heart, person)]

    assert done == [True, False, True, False]
    assert again(heart, person).disabled_at is None
    assert again(heart, other).disabled_at is None
    kinds = [row.kind for row in heart.all(AuditEvent, AuditEvent.user_id == person.id, AuditEvent.actor == "test")]
    assert sorted(kinds) == ["user_disabled", "user_enabled"]


def test_of_parallel_disablings_one_counts(heart: Heart) -> None:
    person = heart.person()
    nodes = [heart.open_database() for _ in range(4)]

    def on(node):
        with node.transaction() as tx:
            return users.disable_user(tx, user_id=person.id, actor="test", now=heart.now)

    assert sum(race([partial(on, node) for node in nodes])) == 1


def test_deleting_wipes_what_is_known_of_the_person_and_leaves_a_tombstone(heart: Heart) -> None:
    person, client = heart.person(), heart.client()
    heart.change(person, claims={"name": "Ada Lovelace"}, password_hash="hash", email_verified_at=heart.now)
    with heart.database.transaction() as tx:
        grant_consent(tx, user_id=person.id, client_id=client.id, scopes=("openid",), now=heart.now)
        tx.add(
            MailMessage(
                id="m" * 26,
                user_id=person.id,
                kind="old_token_used",
                recipient=str(person.email),
                subject="Hello Ada",
                body="…",
                state=MailState.PENDING,
                next_attempt_at=heart.now,
                created_at=heart.now,
            )
        )

    assert delete(heart, person)

    grave = again(heart, person)
    assert grave.deleted_at == heart.now
    assert grave.sub == person.sub
    wiped = {name: value for name, value in vars(grave).items() if not name.startswith("_")}
    for kept in ("id", "sub", "epoch", "created_at", "deleted_at", "claims_updated_at"):
        del wiped[kept]
    assert not any(wiped.values()), wiped
    assert heart.all(MailMessage) == []
    assert [consent.withdrawn_at for consent in heart.all(Consent)] == [heart.now]


def test_a_deleted_person_is_found_by_nothing_and_can_not_be_deleted_again(heart: Heart) -> None:
    person = heart.person()
    delete(heart, person)

    with heart.database.reading() as tx:
        assert users.find_by_login_name(tx, str(person.email)) is None
        assert users.find_by_login_name(tx, str(person.username)) is None
        assert users.find_by_sub(tx, person.sub) is None
        assert users.find_user(tx, person.id) is None
    assert not delete(heart, person)
    assert not disable(heart, person)
    assert not enable(heart, person)
    assert not set_password(heart, person)
    assert again(heart, person).password_hash is None


@pytest.mark.spec("OIDC Core", "2")
def test_the_names_are_free_again_and_the_sub_never_is(heart: Heart) -> None:
    person = heart.person()
    delete(heart, person)

    with heart.database.transaction() as tx:
        successor = users.create_user(
            tx, email=person.email, username=person.username, password_hash=None, now=heart.now
        )

    assert isinstance(successor, User)
    assert successor.sub != person.sub
    assert {row.sub for row in heart.all(User)} == {person.sub, successor.sub}


def test_a_new_password_refuses_the_sign_in_that_had_just_verified_the_old_one(heart: Heart) -> None:
    person = heart.person()
    verified_under = person.epoch

    assert set_password(heart, person)

    assert again(heart, person).password_hash == "new"
    assert again(heart, person).password_changed_at == heart.now
    with heart.database.transaction() as tx:
        outcome = start_browser_session(
            tx,
            user_id=person.id,
            expected_epoch=verified_under,
            amr=["pwd"],
            acr=None,
            keep_signed_in=False,
            device=Device(),
            previous_handle=None,
            settings=heart.settings,
            now=heart.now,
        )
    assert outcome is SignInRefused.OVERTAKEN
