"""`idp clients update | rotate-secret | disable | enable | delete`, and the snippets of `create`, on both databases."""

import re
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import yaml
from sqlalchemy import update

from idp.cli import client_lifecycle
from idp.cli.snippets import SNIPPETS
from idp.clients import authenticate_secret
from idp.db.models import (
    AuditEvent,
    AuthorizationCode,
    Client,
    ClientSecret,
    EndReason,
    LogoutDelivery,
    SessionClient,
)
from idp.sessions import end_client_everywhere
from idp.tokens import Issued, Refused
from tests.cli.shell import Shell
from tests.support.heart import Heart, race

WEB = ("--name", "Wiki", "--redirect-uri", "https://wiki.example/callback")


def created(shell: Shell, *more: str) -> dict[str, Any]:
    made: dict[str, Any] = shell.json("clients", "create", *WEB, *more)
    return made


def accepts(heart: Heart, client_id: str, secret: str, *, after: timedelta = timedelta()) -> bool:
    with heart.database.reading() as tx:
        return authenticate_secret(tx, client_id, secret, heart.now + after) is not None


# ── update ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_named_changes_and_the_rest_stays(shell: Shell, today: Heart) -> None:
    made = created(shell, "--post-logout-redirect-uri", "https://wiki.example/", "--resource", "https://api.example")
    (before,) = shell.json("clients", "list")

    after = shell.json(
        *("clients", "update", made["client_id"], "--name", "Encyclopedia", "--first-party", "--no-pkce"),
        *("--redirect-uri", "https://wiki.example/a", "--redirect-uri", "https://wiki.example/b"),
        *("--backchannel-logout-uri", "https://wiki.example/bye", "--id-token-alg", "RS256", "--service"),
    )

    assert after == {
        **before,
        "name": "Encyclopedia",
        "first_party": True,
        "requires_pkce": False,
        "redirect_uris": ["https://wiki.example/a", "https://wiki.example/b"],
        "backchannel_logout_uri": "https://wiki.example/bye",
        "id_token_signed_response_alg": "RS256",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    }
    assert shell.json("clients", "list") == [after]
    assert accepts(today, made["client_id"], made["client_secret"])
    assert [event.client_id for event in today.all(AuditEvent, AuditEvent.kind == "client_updated")] == [
        after["client_id"]
    ]


def test_an_empty_text_empties(shell: Shell, today: Heart) -> None:
    made = created(
        *(shell, "--post-logout-redirect-uri", "https://wiki.example/", "--resource", "https://api.example"),
        *("--backchannel-logout-uri", "https://wiki.example/bye", "--first-party"),
    )

    after = shell.json(
        *("clients", "update", made["client_id"], "--post-logout-redirect-uri", "", "--resource", ""),
        *("--backchannel-logout-uri", "", "--third-party"),
    )

    assert (after["post_logout_redirect_uris"], after["backchannel_logout_uri"]) == ([], None)
    assert (after["allowed_resources"], after["first_party"]) == ([], False)
    assert today.all(Client)[0].default_resource is None


def test_a_service_becomes_an_application_that_people_sign_in_to_and_back(shell: Shell) -> None:
    made = shell.json("clients", "create", "--name", "Robot", "--service")

    after = shell.json("clients", "update", made["client_id"], "--redirect-uri", "https://robot.example/callback")
    alone = shell.json("clients", "update", made["client_id"], "--redirect-uri", "")

    assert after["grant_types"] == ["client_credentials", "authorization_code", "refresh_token"]
    assert "openid" in after["scopes"]
    assert (alone["grant_types"], alone["redirect_uris"]) == (["client_credentials"], [])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["unknown", "--name", "X"], "No application has that client_id"),
        (["un\x00known", "--name", "X"], "No application has that client_id"),
        (["{id}"], "Say what to change"),
        (["{id}", "--name", ""], "name must have"),
        (["{id}", "--redirect-uri", "http://wiki.example/"], "https"),
        (["{id}", "--redirect-uri", ""], "grant_types must be some of"),
        (["{id}", "--public"], "can't change after registration"),
        (["{id}", "--backchannel-logout-uri", "javascript:alert(1)"], "backchannel_logout_uri"),
        (["{id}", "--id-token-alg", "none"], "Invalid value for '--id-token-alg'"),
        ([], "Missing argument 'CLIENT_ID'"),
    ],
)
def test_an_unsafe_change_is_refused_by_a_sentence_and_nothing_changes(
    shell: Shell, arguments: list[str], sentence: str
) -> None:
    made = created(shell)
    before = shell.json("clients", "list")

    assert sentence in shell.refusal("clients", "update", *(part.format(id=made["client_id"]) for part in arguments))

    assert shell.json("clients", "list") == before


# ── rotate-secret ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_secrets_live_during_the_overlap_and_one_after_it(shell: Shell, today: Heart) -> None:
    made = created(shell)

    rotated = shell.json("clients", "rotate-secret", made["client_id"], "--overlap", "2h")

    old, new = made["client_secret"], rotated["client_secret"]
    ends_at = datetime.fromisoformat(rotated["previous_expire_at"])
    assert abs(ends_at - today.now - timedelta(hours=2)) < timedelta(minutes=1)
    assert [accepts(today, made["client_id"], secret) for secret in (old, new)] == [True, True]
    later = timedelta(hours=2, minutes=1)
    assert [accepts(today, made["client_id"], secret, after=later) for secret in (old, new)] == [False, True]
    assert old not in str([vars(row) for row in today.all(ClientSecret) + today.all(AuditEvent)])


def test_the_usual_overlap_is_a_day_and_none_kills_the_old_secret_now(shell: Shell, today: Heart) -> None:
    made = created(shell)
    first = shell.json("clients", "rotate-secret", made["client_id"])
    assert accepts(today, made["client_id"], made["client_secret"], after=timedelta(hours=23))

    second = shell.run("clients", "rotate-secret", made["client_id"], "--overlap", "0")

    assert "The one before works no more." in second.output
    assert not accepts(today, made["client_id"], made["client_secret"])
    assert not accepts(today, made["client_id"], first["client_secret"])
    assert len(today.all(ClientSecret)) == 1


def test_within_an_overlap_a_second_rotation_is_refused_until_it_says_which_secret_goes(
    shell: Shell, today: Heart
) -> None:
    made = created(shell)
    client_id = made["client_id"]
    first = shell.json("clients", "rotate-secret", client_id, "--overlap", "2h")

    sentence = shell.refusal("clients", "rotate-secret", client_id)
    assert "has two secrets already" in sentence
    assert "--replace-newest" in sentence
    assert all(accepts(today, client_id, known["client_secret"]) for known in (made, first))

    second = shell.json("clients", "rotate-secret", client_id, "--replace-newest")

    old, lost, new = made["client_secret"], first["client_secret"], second["client_secret"]
    assert [accepts(today, client_id, secret) for secret in (old, lost, new)] == [True, False, True]
    assert second["previous_expire_at"] == first["previous_expire_at"], "the elder got a longer life"
    assert len(today.all(ClientSecret)) == 2
    later = timedelta(hours=2, minutes=1)
    assert [accepts(today, client_id, secret, after=later) for secret in (old, new)] == [False, True]


def test_when_the_overlap_is_over_the_next_rotation_goes_through(shell: Shell, today: Heart) -> None:
    made = created(shell)
    shell.json("clients", "rotate-secret", made["client_id"])
    elder = min(today.all(ClientSecret), key=lambda row: row.created_at)
    today.change(elder, expires_at=today.now - timedelta(minutes=5))

    shell.json("clients", "rotate-secret", made["client_id"])

    assert len(today.all(ClientSecret)) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody"], "No application has that client_id"),
        (["{public}"], "public client, which has no secret"),
        (["{id}", "--overlap", "soon"], "no length of time"),
        (["{id}", "--overlap", "91d"], "shorten it"),
        (["{id}", "--overlap", "-1h"], "no length of time"),
    ],
)
def test_a_refused_rotation_changes_no_secret(shell: Shell, today: Heart, arguments: list[str], sentence: str) -> None:
    made = created(shell)
    public = shell.json("clients", "create", "--name", "Tool", "--redirect-uri", "http://127.0.0.1/cb", "--public")
    names = {"id": made["client_id"], "public": public["client_id"]}

    assert sentence in shell.refusal("clients", "rotate-secret", *(part.format(**names) for part in arguments))

    assert len(today.all(ClientSecret)) == 1
    assert accepts(today, made["client_id"], made["client_secret"], after=timedelta(days=365))


# ── disable, enable, delete ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "reason"), [("disable", EndReason.CLIENT_DISABLED), ("delete", EndReason.CLIENT_DELETED)]
)
def test_closing_an_application_ends_what_it_holds_tells_it_and_leaves_others_alone(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch, command: str, reason: EndReason
) -> None:
    monkeypatch.setattr(client_lifecycle, "_BATCH", 2)
    wiki = today.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
    mail = today.client(name="Mail", backchannel_logout_uri="https://mail.example/bye")
    people = [today.person() for _ in range(5)]
    started = [today.sign_in(person) for person in people]
    of_wiki = [today.tokens_for(session, wiki) for session in started]
    of_mail = [today.tokens_for(session, mail) for session in started]
    apps = [today.tokens_for(session, wiki, "openid offline_access") for session in started[:2]]

    done = shell.json("clients", command, wiki.id)

    assert done == {"client_id": wiki.id, "changed": True, "people": 5}
    assert all(isinstance(today.refresh(tokens, wiki), Refused) for tokens in [*of_wiki, *apps])
    assert all(isinstance(today.refresh(tokens, mail), Issued) for tokens in of_mail)
    assert all(today.current(session.handle) for session in started)
    live = today.all(SessionClient, SessionClient.ended_at.is_(None))
    assert {row.client_id for row in live} == {mail.id}
    assert {row.end_reason for row in today.all(SessionClient, SessionClient.client_id == wiki.id)} == {reason}
    told = today.all(LogoutDelivery)
    assert {(row.client_id, row.uri) for row in told} == {(wiki.id, "https://wiki.example/bye")}
    assert len(told) == 7


def test_an_end_that_was_interrupted_goes_on_when_the_command_is_repeated(
    shell: Shell, today: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiki = today.client(name="Wiki")
    tokens = [today.tokens_for(today.sign_in(today.person()), wiki) for _ in range(3)]
    original = end_client_everywhere
    calls = []

    def interrupted(tx, **given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(tx, **{**given, "limit": 1})

    monkeypatch.setattr(client_lifecycle, "end_client_everywhere", interrupted)
    assert shell.run("clients", "delete", wiki.id).exit_code == 1
    # Dead at once on every node, whatever is still to be written down.
    assert all(isinstance(today.refresh(one, wiki), Refused) for one in tokens)
    assert len(today.all(SessionClient, SessionClient.ended_at.is_(None))) == 2

    monkeypatch.setattr(client_lifecycle, "end_client_everywhere", original)
    assert shell.json("clients", "delete", wiki.id)["people"] == 2

    assert today.all(SessionClient, SessionClient.ended_at.is_(None)) == []
    assert today.all(Client)[0].deleted_at is not None


def test_an_enabled_application_starts_afresh(shell: Shell, today: Heart) -> None:
    made = created(shell)
    shell.json("clients", "disable", made["client_id"])
    assert not accepts(today, made["client_id"], made["client_secret"])
    assert "was disabled already" in shell.run("clients", "disable", made["client_id"]).output

    assert shell.json("clients", "enable", made["client_id"])["changed"] is True

    assert accepts(today, made["client_id"], made["client_secret"])
    assert shell.json("clients", "enable", made["client_id"])["changed"] is False


def test_what_is_left_of_a_disabled_application_is_ended_before_it_is_admitted_again(
    shell: Shell, today: Heart
) -> None:
    """I1: whoever disabled it was interrupted before everything was ended."""
    wiki = today.client(name="Wiki", backchannel_logout_uri="https://wiki.example/bye")
    session = today.sign_in(today.person())
    tokens = today.tokens_for(session, wiki)
    half_way = today.code(today.sign_in(today.person()), wiki)
    today.change(wiki, disabled_at=today.now)

    enabled = shell.json("clients", "enable", wiki.id)

    assert enabled == {"client_id": wiki.id, "changed": True, "people": 2}
    assert isinstance(today.refresh(tokens, wiki), Refused)
    assert isinstance(today.redeem(half_way, wiki), Refused)
    assert [row.end_reason for row in today.all(SessionClient)] == [EndReason.CLIENT_DISABLED]
    assert len(today.all(LogoutDelivery)) == 1
    assert today.current(session.handle)


def test_a_code_from_before_an_application_was_disabled_is_worth_nothing_after_whatever_the_clocks_say(
    shell: Shell, today: Heart
) -> None:
    """The command takes the code for expired, and passes it over; the clock of the node that redeems it is behind."""
    wiki = today.client(name="Wiki")
    today.clock.advance(minutes=-10)
    session = today.sign_in(today.person())
    code = today.code(session, wiki)
    shell.json("clients", "disable", wiki.id)
    shell.json("clients", "enable", wiki.id)

    refused = today.redeem(code, wiki)

    assert isinstance(refused, Refused)
    assert refused.detail == "the client was disabled since"
    assert isinstance(today.redeem(today.code(session, wiki), wiki), Issued)


def test_a_code_of_a_version_that_knew_of_no_epoch_is_still_good(shell: Shell, today: Heart) -> None:
    wiki = today.client(name="Wiki")
    shell.json("clients", "disable", wiki.id)
    shell.json("clients", "enable", wiki.id)
    code = today.code(today.sign_in(today.person()), wiki)
    with today.database.transaction() as tx:
        tx.execute(update(AuthorizationCode).values(client_epoch=None))

    assert isinstance(today.redeem(code, wiki), Issued)


def test_a_disabled_application_gets_no_code_though_its_request_began_before(today: Heart) -> None:
    wiki, session = today.client(name="Wiki"), today.sign_in(today.person())
    today.code(session, wiki)
    today.change(wiki, disabled_at=today.now)

    with pytest.raises(AssertionError, match="overtaken"):
        today.code(session, wiki)


def test_enabling_an_enabled_application_ends_nothing(shell: Shell, today: Heart) -> None:
    wiki = today.client(name="Wiki")
    tokens = today.tokens_for(today.sign_in(today.person()), wiki)

    assert shell.json("clients", "enable", wiki.id) == {"client_id": wiki.id, "changed": False, "people": 0}

    assert isinstance(today.refresh(tokens, wiki), Issued)


def test_codes_redeemed_while_an_application_is_disabled_and_admitted_again_are_all_refused_or_all_ended(
    shell: Shell, today: Heart
) -> None:
    """The race itself: whichever comes first, nothing that was issued before the disabling is good after it."""
    wiki = today.client(name="Wiki")
    codes = [today.code(today.sign_in(today.person()), wiki) for _ in range(12)]
    nodes = [today.open_database() for _ in range(4)]

    def redeem(number: int) -> list[Any]:
        return [today.redeem(code, wiki, database=nodes[number]) for code in codes[number::4]]

    def disable_and_enable() -> None:
        shell.json("clients", "disable", wiki.id)
        shell.json("clients", "enable", wiki.id)

    answers = race([*(partial(redeem, number) for number in range(4)), disable_and_enable])

    issued = [answer for group in answers[:4] for answer in group if isinstance(answer, Issued)]
    assert all(isinstance(today.refresh(tokens, wiki), Refused) for tokens in issued)
    assert all(isinstance(today.redeem(code, wiki), Refused) for code in codes)
    assert today.all(SessionClient, SessionClient.ended_at.is_(None)) == []
    assert today.all(Client)[0].disabled_at is None


def test_a_deleted_application_is_gone_for_every_command(shell: Shell, today: Heart) -> None:
    made = created(shell)

    assert "Wiki (" in shell.run("clients", "delete", made["client_id"]).output

    assert shell.json("clients", "list") == []
    assert today.all(ClientSecret) == []
    for command in (["delete"], ["disable"], ["enable"], ["rotate-secret"], ["update", "--name", "X"]):
        assert "No application has that client_id" in shell.refusal("clients", *command, made["client_id"])


# ── snippets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def snippet(shell: Shell, language: str, *more: str) -> str:
    result = shell.run("clients", "create", *WEB, "--snippets", language, *more)
    assert result.exit_code == 0
    assert not re.search(r"@[A-Z_]+@", result.stdout), "a name was not filled in"
    return str(result.stdout)


def body(text: str) -> str:
    """What stands below the first ruled title."""
    return text.split("── ", 1)[1].split("\n", 1)[1]


def test_each_framework_gets_its_own_and_the_secret_is_in_none(shell: Shell) -> None:
    for language, title in SNIPPETS.items():
        text = snippet(shell, language)

        secret = next(line.split()[1] for line in text.splitlines() if line.startswith("client_secret:"))
        assert text.count(secret) == 1
        assert [name for name, other in SNIPPETS.items() if f"── {other} " in text] == [language], title
        assert "OIDC_CLIENT_SECRET" in body(text)
        assert "https://wiki.example/callback" in body(text)


def test_all_are_printed_unless_one_or_none_is_asked_for(shell: Shell) -> None:
    assert all(f"── {title} " in snippet(shell, "all") for title in SNIPPETS.values())
    assert "──" not in snippet(shell, "none")
    assert set(shell.json("clients", "create", *WEB)) == {"client_id", "client_secret", "name"}
    assert "Invalid value for '--snippets'" in shell.refusal("clients", "create", *WEB, "--snippets", "cobol")


def test_a_snippet_says_what_is_still_to_be_registered(shell: Shell) -> None:
    bare = snippet(shell, "flask")
    whole = snippet(
        *(shell, "flask", "--backchannel-logout-uri", "https://wiki.example/bye"),
        *("--post-logout-redirect-uri", "https://wiki.example/out"),
    )

    assert "--backchannel-logout-uri https://wiki.example/backchannel-logout" in bare
    assert "--post-logout-redirect-uri https://wiki.example/" in bare
    assert "Do this first" not in whole
    assert '@app.post("/bye")' in whole
    assert '"https://wiki.example/out"' in whole


def test_spring_is_told_of_its_own_address_and_algorithm(shell: Shell) -> None:
    ready = snippet(
        *(shell, "spring", "--id-token-alg", "RS256", "--post-logout-redirect-uri", "https://wiki.example/"),
        *("--backchannel-logout-uri", "https://wiki.example/logout/connect/back-channel/idp"),
    )

    assert "--id-token-alg RS256" in snippet(shell, "spring")
    assert "Do this first" not in ready
    registration = yaml.safe_load(body(ready).split("---")[0])["spring"]["security"]["oauth2"]["client"]["registration"]
    assert registration["idp"]["redirect-uri"] == "https://wiki.example/callback"
    assert registration["idp"]["scope"] == ["openid", "profile", "email"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_flask_snippet_is_python_that_authenticates_as_registered(shell: Shell, method: str) -> None:
    text = body(snippet(shell, "flask", "--token-endpoint-auth-method", method))

    compile(text, "flask", "exec")
    assert f'token_endpoint_auth_method="{method}"' in text


def test_a_public_client_is_sent_to_the_guide(shell: Shell) -> None:
    result = shell.run("clients", "create", "--name", "Tool", "--redirect-uri", "http://127.0.0.1/cb", "--public")

    assert "docs/how-to/connect-a-command-line-tool.md" in result.stdout
    assert "OIDC_CLIENT_SECRET" not in result.stdout
