"""The commands of an operator, through the real entry, on both databases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.pool import NullPool

from idp.db.engine import Database, normalized_url
from idp.db.models import AuditEvent, Client, LogoutDelivery, Session, SigningKey, User
from idp.kit.opaque import Secret
from idp.users import verify_password
from tests.cli.shell import PASSWORD, SECRET, Shell
from tests.support.heart import Heart


def rows(database: Database, model: Any) -> list[Any]:
    with database.reading() as tx:
        return list(tx.scalars(select(model)))


# ── init and db ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_init_makes_schema_and_keys_and_a_second_one_changes_nothing(blank: Shell) -> None:
    first = blank.json("init")
    second = blank.json("init")

    assert (first["migrated"], sorted(first["keys_created"])) == (True, ["ES256", "RS256"])
    assert (second["migrated"], second["keys_created"]) == (False, [])
    assert {key["state"] for key in blank.json("keys", "list")} == {"signing"}


def test_before_init_every_command_says_what_to_do_and_makes_nothing(blank: Shell) -> None:
    for command in (["users", "list"], ["keys", "rotate"], ["serve"], ["worker"], ["clients", "list"]):
        assert "Run `idp init`" in blank.refusal(*command), command


def test_the_embedded_default_makes_its_own_secret_once_readable_by_its_owner_alone(tmp_path: Path) -> None:
    shell = Shell({"IDP_VAR_DIR": str(tmp_path / "var")})

    assert "Nothing is set up here yet. Run `idp init` first." in shell.refusal("users", "list")
    assert not (tmp_path / "var").exists()
    shell.json("init")
    secret = (tmp_path / "var" / "secret").read_text()
    shell.json("init")

    assert (tmp_path / "var" / "secret").read_text() == secret
    assert (tmp_path / "var" / "secret").stat().st_mode & 0o777 == 0o600
    assert shell.json("users", "list") == []


def test_a_password_in_the_database_address_is_not_printed(blank: Shell, database_backend: str) -> None:
    if database_backend == "postgresql":
        url = blank.environment["IDP_DATABASE_URL"].replace("://postgres@", "://postgres:hunter2@")
        result = blank.run("init", IDP_DATABASE_URL=url)
        assert "hunter2" not in result.output
    else:
        assert "sqlite:///" in blank.run("init").output


def test_upgrade_says_whether_there_was_anything_to_do(shell: Shell) -> None:
    assert shell.json("db", "upgrade")["migrated"] is False


def test_another_secret_than_the_keys_were_sealed_with_is_told_before_anything_is_made(
    shell: Shell, database: Database
) -> None:
    before = len(rows(database, SigningKey))

    for command in (["keys", "rotate"], ["init"], ["serve"]):
        assert "Set IDP_SECRET" in shell.refusal(*command, IDP_SECRET="x" * 48)

    assert len(rows(database, SigningKey)) == before


# ── users ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_is_created_with_the_password_from_standard_input(shell: Shell, database: Database) -> None:
    made = shell.json(
        *("users", "create", "--email", "alice@example.com", "--username", "alice", "--password-stdin"),
        given=PASSWORD + "\n",
    )

    (user,) = rows(database, User)
    assert (made["email"], made["username"], made["sub"]) == ("alice@example.com", "alice", user.sub)
    assert verify_password(user.password_hash, Secret(PASSWORD))
    assert shell.json("users", "list") == [made]


@pytest.mark.parametrize(
    ("given", "password"), [(PASSWORD, PASSWORD), (PASSWORD + "\r\n", PASSWORD), (" x y z x y \n\n", " x y z x y \n")]
)
def test_only_one_newline_at_the_end_is_not_part_of_the_password(
    shell: Shell, database: Database, given: str, password: str
) -> None:
    shell.json("users", "create", "--email", "alice@example.com", "--password-stdin", given=given)

    assert verify_password(rows(database, User)[0].password_hash, Secret(password))


def test_the_password_appears_nowhere(shell: Shell, database: Database) -> None:
    result = shell.run("users", "create", "--email", "alice@example.com", "--password-stdin", given=PASSWORD)

    assert PASSWORD not in result.output
    assert PASSWORD not in str([vars(row) for row in rows(database, User) + rows(database, AuditEvent)])


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (["--email", "alice", "--password-stdin"], PASSWORD, "not an e-mail address"),
        (["--username", "a@b", "--password-stdin"], PASSWORD, "letters"),
        (["--email", "b@example.com", "--password-stdin"], "short", "at least 8"),
        (["--email", "b@example.com", "--password-stdin"], "", "at least 8"),
        (["--email", "b@example.com", "--password-stdin"], "x" * 5000, "at most 1024"),
        (["--email", "b@example.com", "--password-stdin"], b"\xff\xfe12345678", "not UTF-8"),
        (["--email", "b@example.com", "--password-stdin"], "12345678\x0012", "no keyboard"),
        (["--email", "b@example.com"], "", "pass --password-stdin"),
        (["--email", "TAKEN@example.com", "--password-stdin"], PASSWORD, "exists already"),
    ],
)
def test_what_cannot_be_created_is_refused_by_a_sentence_and_nothing_is_written(
    shell: Shell, database: Database, arguments: list[str], given: str | bytes, sentence: str
) -> None:
    shell.json("users", "create", "--email", "taken@example.com", "--password-stdin", given=PASSWORD)

    assert sentence in shell.refusal("users", "create", *arguments, given=given)

    assert len(rows(database, User)) == 1


# ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_confidential_client_gets_a_secret_that_is_kept_as_a_hash_only(shell: Shell, database: Database) -> None:
    made = shell.json(
        *("clients", "create", "--name", "Wiki", "--redirect-uri", "https://wiki.example/callback"),
        *("--redirect-uri", "https://wiki.example/other", "--backchannel-logout-uri", "https://wiki.example/bye"),
        *("--post-logout-redirect-uri", "https://wiki.example/", "--no-pkce", "--first-party"),
    )

    (client,) = rows(database, Client)
    assert (made["client_id"], client.name) == (client.id, "Wiki")
    assert made["client_secret"]
    assert client.redirect_uris == ["https://wiki.example/callback", "https://wiki.example/other"]
    assert client.post_logout_redirect_uris == ["https://wiki.example/"]
    assert client.backchannel_logout_uri == "https://wiki.example/bye"
    assert (client.requires_pkce, client.is_first_party) == (False, True)
    assert client.id_token_signed_response_alg == "ES256"
    assert made["client_secret"] not in shell.run("clients", "list", "--json").output
    (listed,) = shell.json("clients", "list")
    assert listed["client_id"] == client.id


def test_a_public_client_gets_no_secret_and_needs_pkce(shell: Shell, database: Database) -> None:
    made = shell.json("clients", "create", "--name", "Tool", "--redirect-uri", "http://127.0.0.1/callback", "--public")

    (client,) = rows(database, Client)
    assert made["client_secret"] is None
    assert client.requires_pkce
    assert client.is_native


def test_a_service_speaks_for_itself(shell: Shell, database: Database) -> None:
    assert shell.json("clients", "create", "--name", "Robot", "--service", "--scope", "read")["client_secret"]

    (client,) = rows(database, Client)
    assert (client.grant_types, client.scopes) == (("client_credentials",), ("read",))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--redirect-uri", "http://wiki.example/callback"], "https"),
        (["--redirect-uri", "https://wiki.example/*#x"], "fragment"),
        (["--redirect-uri", "https://w.example/", "--backchannel-logout-uri", "http://10.0.0.1/"], "https"),
        (["--public", "--service"], "client_credentials"),
    ],
)
def test_a_client_that_would_be_unsafe_is_refused_by_a_sentence(
    shell: Shell, database: Database, arguments: list[str], sentence: str
) -> None:
    assert sentence in shell.refusal("clients", "create", "--name", "X", *arguments)
    assert rows(database, Client) == []


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rotation_publishes_a_successor_ahead_and_prints_no_private_key(shell: Shell) -> None:
    made = shell.json("keys", "rotate", "--algorithm", "ES256")

    listed = {key["kid"]: key["state"] for key in shell.json("keys", "list")}
    assert [key["state"] for key in made] == ["published ahead"]
    assert sorted(listed.values()) == ["published ahead", "signing", "signing"]
    assert "private" not in shell.run("keys", "list", "--json").output


def test_immediate_rotation_retires_the_predecessor_now(shell: Shell) -> None:
    shell.json("keys", "rotate", "--immediately")

    assert sorted(key["state"] for key in shell.json("keys", "list")) == ["retired", "retired", "signing", "signing"]


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def signed_in(shell: Shell, heart: Heart) -> Callable[[], tuple[User, list[str]]]:
    """Makes a person with two browsers and one tool, signed in as of now."""
    from datetime import UTC, datetime

    heart.clock.moment = datetime.now(UTC)  # the commands ask the machine's clock

    def make() -> tuple[User, list[str]]:
        person = heart.person()
        wiki = heart.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
        browsers = [heart.sign_in(person), heart.sign_in(person)]
        for browser in browsers:
            heart.tokens_for(browser, wiki)
        heart.tokens_for(browsers[0], wiki, "openid offline_access")
        return person, [browser.session_id for browser in browsers]

    return make


def test_the_list_shows_every_browser_and_tool_of_that_person_only(
    shell: Shell, signed_in: Callable[[], tuple[User, list[str]]]
) -> None:
    person, browsers = signed_in()
    signed_in()

    listed = shell.json("sessions", "list", "--user", str(person.email))

    assert sorted(row["kind"] for row in listed) == ["app", "browser", "browser"]
    assert set(browsers) < {row["session"] for row in listed}
    assert {row["session"] for row in shell.json("sessions", "list", "--user", person.sub)} == {
        row["session"] for row in listed
    }
    assert "Firefox 145 on Linux" in shell.run("sessions", "list", "--user", str(person.username)).output


def test_ending_all_ends_browsers_and_tools_tells_applications_and_leaves_others_alone(
    shell: Shell, heart: Heart, signed_in: Callable[[], tuple[User, list[str]]]
) -> None:
    person, _ = signed_in()
    other, _ = signed_in()

    ended = shell.json("sessions", "end", "--user", str(person.email), "--all")

    assert (ended["browsers"], ended["apps"], ended["applications_to_tell"]) == (2, 1, 3)
    assert ended["access_expires_at"]
    live = heart.all(Session, Session.ended_at.is_(None))
    assert {session.user_id for session in live} == {other.id}
    assert {row.sub for row in heart.all(LogoutDelivery)} == {person.sub}
    assert heart.all(User, User.id == person.id)[0].epoch == 1
    assert shell.json("sessions", "list", "--user", str(person.email)) == []
    audit = heart.all(AuditEvent, AuditEvent.kind == "sessions_ended")
    assert [(row.user_id, row.actor) for row in audit] == [(person.id, "administrator:cli")]
    again = shell.json("sessions", "end", "--user", str(person.email), "--all")
    assert (again["browsers"], again["apps"]) == (0, 0)


def test_ending_one_session_leaves_the_others(
    shell: Shell, heart: Heart, signed_in: Callable[[], tuple[User, list[str]]]
) -> None:
    person, (first, second) = signed_in()

    ended = shell.json("sessions", "end", "--user", str(person.email), "--session", first)

    assert (ended["browsers"], ended["apps"]) == (1, 0)
    assert heart.session(first).ended_at is not None
    assert heart.session(second).ended_at is None


def test_when_one_of_the_named_sessions_is_not_theirs_none_ends(
    shell: Shell, heart: Heart, signed_in: Callable[[], tuple[User, list[str]]]
) -> None:
    person, (first, _) = signed_in()
    _, (foreign, _) = signed_in()

    sentence = shell.refusal("sessions", "end", "--user", str(person.email), "--session", first, "--session", foreign)

    assert "none was ended" in sentence
    assert heart.session(first).ended_at is None
    assert heart.session(foreign).ended_at is None


def test_nobody_is_told_apart_from_a_typing_mistake(shell: Shell) -> None:
    assert "Nobody has that e-mail" in shell.refusal("sessions", "end", "--user", "nobody\x00", "--all")


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_is_away_is_told_plainly(impatient: None) -> None:
    shell = Shell({"IDP_SECRET": SECRET, "IDP_DATABASE_URL": "postgresql://idp:hunter2@127.0.0.1:1/idp"})

    for command in (["init"], ["users", "list"], ["serve"], ["worker"]):
        sentence = shell.refusal(*command)
        assert "Check that it runs and that IDP_DATABASE_URL is right" in sentence
        assert "hunter2" not in sentence


def test_a_setting_that_does_not_exist_is_named(shell: Shell) -> None:
    assert "IDP_ISUER is not a setting" in shell.refusal("users", "list", IDP_ISUER="https://id.example.com")


def test_a_database_with_tables_but_no_recorded_version_is_not_touched(blank: Shell) -> None:
    blank.json("init")
    engine = create_engine(normalized_url(blank.environment["IDP_DATABASE_URL"]), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))

    assert "The database is empty" in blank.refusal("users", "list")
    assert "The database " in blank.refusal("init")
