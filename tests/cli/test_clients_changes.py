"""`idp clients update | rotate-secret`: what is named changes, and two secrets never live for longer than agreed."""

from datetime import datetime, timedelta

import pytest

from idp.db.models import (
    AuditEvent,
    Client,
    ClientSecret,
)
from tests.cli.registrations import accepts, created
from tests.cli.shell import Shell
from tests.support.heart import Heart

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
