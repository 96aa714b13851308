"""`idp users disable | enable | delete | set-password`, on both databases."""

import pytest

from idp.db.models import AuditEvent, AuthorizationCode, EndReason, LogoutDelivery, Session, User
from idp.kit.opaque import Secret
from idp.tokens import Refused
from idp.users import verify_password
from tests.cli.shell import PASSWORD, Shell
from tests.support.heart import Heart


@pytest.fixture
def wiki(today: Heart):
    return today.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")


@pytest.mark.parametrize(
    ("command", "reason"), [("disable", EndReason.USER_DISABLED), ("delete", EndReason.USER_DELETED)]
)
def test_closing_an_account_ends_everything_of_that_person_alone(
    shell: Shell, today: Heart, wiki, command: str, reason: EndReason
) -> None:
    person, other = today.person(), today.person()
    theirs, others = today.sign_in(person), today.sign_in(other)
    tokens, others_tokens = today.tokens_for(theirs, wiki, "openid offline_access"), today.tokens_for(others, wiki)
    today.tokens_for(theirs, wiki)
    code = today.code(theirs, wiki)

    done = shell.json("users", command, str(person.email))

    assert (done["sub"], done["changed"]) == (person.sub, True)
    assert (done["ended"]["browsers"], done["ended"]["apps"], done["ended"]["applications_to_tell"]) == (1, 1, 2)
    ended = today.all(Session, Session.user_id == person.id)
    assert {session.end_reason for session in ended} == {reason}
    assert isinstance(today.refresh(tokens, wiki), Refused)
    assert isinstance(today.redeem(code, wiki), Refused)
    assert today.current(theirs.handle) is None
    assert {row.sub for row in today.all(LogoutDelivery)} == {person.sub}
    assert today.current(others.handle) is not None
    assert not isinstance(today.refresh(others_tokens, wiki), Refused)


def test_a_disabled_person_signs_in_by_no_path_until_enabled(shell: Shell, today: Heart) -> None:
    person = today.person()
    shell.json("users", "disable", str(person.username))

    assert shell.json("users", "list")[0]["disabled_at"]
    with pytest.raises(AssertionError):  # `sign_in` asserts that a session was started
        today.sign_in(person)
    assert shell.json("users", "disable", person.sub)["changed"] is False
    assert shell.json("users", "enable", person.sub) == {"sub": person.sub, "changed": True, "ended": None}
    today.sign_in(person)
    assert shell.json("users", "enable", person.sub)["changed"] is False


def test_deleting_wipes_names_and_machines(shell: Shell, today: Heart, wiki) -> None:
    person = today.person()
    started = today.sign_in(person)
    today.tokens_for(started, wiki, "openid offline_access")

    assert f"(sub {person.sub}) deleted." in shell.run("users", "delete", str(person.email)).output

    (row,) = today.all(User)
    assert (row.email, row.username, row.claims) == (None, None, {})
    for kept in [*today.all(Session), *today.all(AuthorizationCode)]:
        assert (kept.ip_address, kept.agent_name, kept.os_name, kept.device_name) == ("", "", "", "")
    assert shell.json("users", "list") == []
    assert "Nobody has that e-mail" in shell.refusal("users", "delete", str(person.email))
    assert "Nobody has that e-mail" in shell.refusal("users", "enable", person.sub)


def test_a_new_password_ends_all_sessions(shell: Shell, today: Heart) -> None:
    person, other = today.person(), today.person()
    theirs, others = today.sign_in(person), today.sign_in(other)

    done = shell.json("users", "set-password", str(person.email), "--password-stdin", given=PASSWORD + "\n")

    assert done["ended"]["browsers"] == 1
    (row,) = today.all(User, User.id == person.id)
    assert verify_password(row.password_hash, Secret(PASSWORD))
    assert today.session(theirs.session_id).end_reason == EndReason.PASSWORD_CHANGED
    assert today.current(others.handle) is not None
    kinds = [(event.kind, event.actor) for event in today.all(AuditEvent, AuditEvent.kind == "password_set")]
    assert kinds == [("password_set", "administrator:cli")]


def test_a_new_password_may_leave_sessions_but_never_what_is_half_way(shell: Shell, today: Heart, wiki) -> None:
    person = today.person()
    started = today.sign_in(person)
    code = today.code(started, wiki)

    done = shell.json("users", "set-password", person.sub, "--password-stdin", "--keep-sessions", given=PASSWORD)

    assert done["ended"] is None
    assert today.current(started.handle) is not None
    assert isinstance(today.redeem(code, wiki), Refused)


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (["disable", "nobody@example.com"], "", "Nobody has that e-mail"),
        (["enable", "nobody\x00"], "", "Nobody has that e-mail"),
        (["delete", "\ud800"], "", "Nobody has that e-mail"),
        (["set-password", "nobody", "--password-stdin"], PASSWORD, "Nobody has that e-mail"),
        (["set-password", "person0", "--password-stdin"], "short", "at least 8"),
        (["set-password", "person0"], "", "pass --password-stdin"),
        (["disable"], "", "Missing argument 'NAME'"),
        (["delete", "person0", "--force"], "", "No such option"),
    ],
)
def test_a_refused_command_says_why_in_a_sentence_and_changes_nothing(
    shell: Shell, today: Heart, arguments: list[str], given: str, sentence: str
) -> None:
    person = today.person()
    started = today.sign_in(person)

    assert sentence in shell.refusal("users", *arguments, given=given)

    assert today.current(started.handle) is not None
    (row,) = today.all(User)
    assert (row.epoch, row.password_hash, row.disabled_at, row.deleted_at) == (0, None, None, None)
