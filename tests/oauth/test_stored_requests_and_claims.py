"""Stored requests (bound, single use, expiring), and the claims parameter and claims by themselves."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.db.engine import Database
from idp.db.models import StoredRequest, StoredRequestKind, User
from idp.oauth.authorize_answer import with_query
from idp.oauth.claims_request import ClaimsRequest, MalformedClaims, read_claims_request
from idp.settings import Settings
from idp.users.claims import display_name, userinfo_claims
from idp.web import stored_requests

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = Settings(var_dir=Path("unused"))
AUTHORIZE, LOGOUT = StoredRequestKind.AUTHORIZE, StoredRequestKind.LOGOUT


def put_aside(database: Database, *, browser: str | None = "browser-1") -> str:
    with database.transaction() as tx:
        return stored_requests.store(
            tx, kind=AUTHORIZE, client_id=None, parameters={"state": "é🙂"}, browser=browser, now=NOW, settings=SETTINGS
        )


def is_found(
    database: Database,
    handle: str,
    *,
    browser: str | None = "browser-1",
    kind: StoredRequestKind = AUTHORIZE,
    now: datetime = NOW,
) -> bool:
    with database.reading() as tx:
        return stored_requests.find(tx, handle, kind=kind, browser=browser, now=now) is not None


def test_a_request_is_found_by_its_handle_in_its_browser_in_its_time_and_for_its_endpoint(database: Database) -> None:
    handle, other = put_aside(database), put_aside(database)
    end = NOW + SETTINGS.stored_request_lifetime

    assert is_found(database, handle)
    assert is_found(database, handle, now=end - timedelta(microseconds=1))
    assert not is_found(database, handle, now=end)
    assert not is_found(database, handle, browser="browser-2")
    assert not is_found(database, handle, browser=None)
    assert not is_found(database, handle, kind=LOGOUT)
    assert not is_found(database, handle[:27] + other[27:])
    for garbage in ("", "x", handle + "x", handle.upper(), "\x00", handle.split(".", maxsplit=1)[0]):
        assert not is_found(database, garbage)


def test_what_is_kept_of_handle_and_browser_are_hashes(database: Database) -> None:
    handle = put_aside(database)

    with database.reading() as tx:
        (row,) = tx.query(StoredRequest).all()
    assert row.parameters == {"state": "é🙂"}
    assert handle.split(".")[1].encode() not in row.secret_hash
    assert row.browser_hash not in {None, b"browser-1"}


def test_an_unbound_request_is_given_to_one_browser_once(database: Database) -> None:
    handle = put_aside(database, browser=None)
    assert not is_found(database, handle)

    with database.transaction() as tx:
        assert stored_requests.bind(tx, handle, kind=AUTHORIZE, browser="browser-1", now=NOW)
        assert not stored_requests.bind(tx, handle, kind=AUTHORIZE, browser="browser-2", now=NOW)
        assert not stored_requests.bind(tx, "garbage", kind=AUTHORIZE, browser="browser-2", now=NOW)

    assert is_found(database, handle)
    assert not is_found(database, handle, browser="browser-2")


def test_of_many_answers_at_once_one_counts(open_database: Callable[[], Database], database: Database) -> None:
    handle = put_aside(database)
    nodes = [open_database(), open_database()]
    barrier, won = threading.Barrier(12), []

    def answer(number: int) -> None:
        barrier.wait()
        with nodes[number % 2].transaction() as tx:
            request = stored_requests.find(tx, handle, kind=AUTHORIZE, browser="browser-1", now=NOW)
            if request is not None and stored_requests.use(tx, request, now=NOW):
                won.append(number)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert not is_found(database, handle)


# ── The claims parameter ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("OIDC Core", "5.5")
def test_only_what_can_matter_is_kept_of_a_claims_request() -> None:
    read = read_claims_request(
        '{"userinfo":{"email":null,"name":{"essential":true},"unknown":null,"sub":{"value":"ada"}},'
        '"id_token":{"acr":{"essential":true,"values":["a","b"]}},"other":7}'
    )

    assert read == ClaimsRequest(userinfo=("email", "name"), sub="ada", essential_acr=("a", "b"))
    assert read.implied_scopes == ("email", "profile")
    assert read.for_family(("openid", "email")) == {"userinfo": ["email"]}
    assert read.for_family(("openid",)) == {}


def test_a_voluntary_acr_demands_nothing() -> None:
    assert read_claims_request('{"id_token":{"acr":{"values":["a"]}}}').essential_acr == ()
    assert read_claims_request('{"id_token":{"acr":null}}').essential_acr == ()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["userinfo", "id_token", "sub", "acr", "value", "values", "essential", "email"]), inner
            )
        ),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    import json

    try:
        read = read_claims_request(json.dumps(value))
    except MalformedClaims:
        return
    json.dumps(read.for_family(("email",)))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_claims_request(text)
    except MalformedClaims:
        return


# ── Claims ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def person(**given: object) -> User:
    return User(**{"claims": {}, "claims_updated_at": NOW, "email_verified_at": None, **given})


def test_claims_of_another_type_than_the_standards_are_left_out() -> None:
    odd = person(
        claims={"name": 7, "address": "London", "phone_number": None, "phone_number_verified": "yes", "gender": ""}
    )

    assert userinfo_claims(odd, scopes=("profile", "address", "phone")) == {"updated_at": int(NOW.timestamp())}


def test_verified_is_said_only_together_with_the_value() -> None:
    nothing = person(email=None)
    verified = person(email="a@example.com", email_verified_at=NOW)

    assert userinfo_claims(nothing, scopes=("email",), claims_request_members=("email_verified",)) == {}
    assert userinfo_claims(verified, scopes=(), claims_request_members=("email_verified",)) == {"email_verified": True}
    assert userinfo_claims(verified, scopes=("email",)) == {"email": "a@example.com", "email_verified": True}


def test_people_are_called_by_the_best_name_they_have() -> None:
    assert display_name(person(claims={"name": "Ada L."}, username="ada")) == "Ada L."
    assert (
        display_name(person(claims={"given_name": "Ada", "family_name": "Lovelace"}, username="ada")) == "Ada Lovelace"
    )
    assert display_name(person(username="ada", email="a@example.com")) == "ada"
    assert display_name(person(email="a@example.com")) == "a@example.com"


def test_parameters_are_appended_to_an_address_without_touching_it() -> None:
    fields = {"a": "x y&z=é"}

    assert with_query("https://a.example/cb", fields) == "https://a.example/cb?a=x%20y%26z%3D%C3%A9"
    assert with_query("https://a.example/cb?b=c", fields) == "https://a.example/cb?b=c&a=x%20y%26z%3D%C3%A9"
    assert with_query("https://a.example/cb?", fields) == "https://a.example/cb?a=x%20y%26z%3D%C3%A9"
