"""What must never stand in a log line does not, however it got there; and what is only a fact stays readable."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from idp.kit.identifiers import identifier_from_bytes
from idp.kit.keyring import Keyring
from idp.kit.opaque import Secret, make_handle, new_secret
from idp.kit.redaction import MASK, names_secret, redact_fields, redact_text, redact_traceback
from idp.tokens.refresh_tokens import RefreshToken, write_refresh_token
from idp.users import hash_password

IDENTIFIER = identifier_from_bytes(bytes(range(16)))


def refresh_token() -> str:
    return write_refresh_token(RefreshToken(IDENTIFIER, 3, b"s" * 16), Keyring(Secret("k" * 40))).reveal()


def flask_cookie(**content: Any) -> str:
    app = Flask(__name__)
    app.secret_key = "of a test"
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return str(serializer.dumps(content))


MADE_HERE: dict[str, Callable[[], str]] = {
    "a refresh token": refresh_token,
    "a client secret": lambda: "idp_cs_" + new_secret(256).reveal(),
    "a cookie, code, receipt or stored request": lambda: make_handle(IDENTIFIER, new_secret()),
    "a JWT": lambda: "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0." + new_secret(512).reveal(),
    "a browser cookie": lambda: flask_cookie(browser="b" * 22, csrf_token="c" * 40),
    "a long browser cookie": lambda: flask_cookie(notice="n" * 400),
    "a password hash": lambda: hash_password(Secret("correct horse battery staple")),
}
SURROUNDINGS = ["{}", "GET /signed-out/{}?x=1", '"{}"', "token={}&state=x", "failed for {}: try again", "['{}', 1]"]


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("name", MADE_HERE)
def test_what_this_house_makes_is_masked_wherever_it_stands(name: str, surrounding: str) -> None:
    credential = MADE_HERE[name]()
    secret_part = credential.removeprefix(IDENTIFIER)[-20:]

    redacted = redact_text(surrounding.format(credential))

    assert secret_part not in redacted
    assert MASK in redacted


def test_of_a_handle_the_identifier_stays_for_whoever_looks_for_the_row() -> None:
    assert redact_text("cookie " + make_handle(IDENTIFIER, new_secret())) == f"cookie {IDENTIFIER}.{MASK}"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("POST /token?code=abc&client_id=wiki", f"POST /token?code={MASK}&client_id=wiki"),
        ("refresh_token=x&scope=openid", f"refresh_token={MASK}&scope=openid"),
        ("CLIENT_SECRET=hunter2", f"CLIENT_SECRET={MASK}"),
        ("/cb?state=my-own-state&iss=x", f"/cb?state={MASK}&iss=x"),
        ("Authorization: Basic d2lraTpodW50ZXIyaHVudGVyMg==", f"Authorization: Basic {MASK}"),
        ("authorization: bearer 0123456789abcdef0123", f"authorization: bearer {MASK}"),
        ("postgresql+psycopg://idp:hunter2@db.internal/idp", f"postgresql+psycopg://idp:{MASK}@db.internal/idp"),
    ],
)
def test_parameters_headers_and_addresses_lose_their_secret_part_only(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "status_code=503 in 12.5 ms",
        "result=told state=told",
        "Basic authentication failed",
        f"session {IDENTIFIER} ended",
        "https://wiki.example.org/callback?client_id=wiki",
        "2026-11-21T09:30:00.123456Z idp_worker",
        'File "/srv/idp/tokens/refresh.py", line 12, in refresh',
        "kid 0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbW",
        "host db.internal:5432",
    ],
)
def test_facts_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


def test_known_secrets_are_taken_out_as_they_are_spelled() -> None:
    assert redact_text("connecting as idp with 7+x/y=z", ["7+x/y=z"]) == f"connecting as idp with {MASK}"


CREDENTIALS = ("token", "refresh_token", "code", "cookies", "Authorization", "Set-Cookie", "client_secret", "handle")
LESS_OBVIOUS = ("new_password", "receipt", "reset_link", "code_verifier", "id_token_hint", "csrf")


@pytest.mark.parametrize("name", [*CREDENTIALS, *LESS_OBVIOUS])
def test_a_field_named_after_a_credential_is_masked(name: str) -> None:
    assert redact_fields({name: "anything"}) == {name: MASK}


@pytest.mark.parametrize(
    "name", ["status_code", "error_code", "token_type", "family", "kid", "reason", "state", "route", "client", "keys"]
)
def test_a_field_named_after_a_fact_is_not(name: str) -> None:
    assert not names_secret(name)
    assert redact_fields({name: "anything"}) == {name: "anything"}


def test_numbers_and_nothing_are_facts_even_under_such_a_name() -> None:
    facts = {"tokens": 3, "has_password": True, "cookie": None}

    assert redact_fields(facts) == facts


def test_fields_are_masked_at_every_depth_and_the_deepest_as_a_whole() -> None:
    nested = {"request": {"headers": [{"Cookie": "a=b"}, "x"], "args": ({"code": "c"},)}}
    bottomless: dict[str, Any] = {}
    bottomless["again"] = bottomless

    assert redact_fields(nested) == {"request": {"headers": [{"Cookie": MASK}, "x"], "args": [{"code": MASK}]}}
    assert MASK in str(redact_fields(bottomless))


def test_the_values_that_a_driver_quotes_below_its_message_are_masked() -> None:
    text = "duplicate key value\nDETAIL:  Key (email_key)=(ada@example.com) already exists.\nCONTEXT: x"

    assert redact_traceback(text) == f"duplicate key value\nDETAIL: {MASK}\nCONTEXT: x"
