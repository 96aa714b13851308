"""A plain request of a program goes the short way and is answered as on the ordinary one; all others go that one."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy.exc import OperationalError
from werkzeug.test import Client, TestResponse, create_environ, run_wsgi_app

from idp.db.engine import Database, goes_first
from idp.oauth.short_way import ShortWay
from idp.web.limits import MAXIMUM_BODY, MAXIMUM_FIELDS
from tests.support.characters import Provider, RelyingParty
from tests.support.pages import Visitor

FORM = "application/x-www-form-urlencoded"
TOKEN, INTROSPECT, REVOKE, USERINFO = "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo"


@pytest.fixture
def gone(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request for a program's endpoint: whether it went the short way."""
    ways: list[bool] = []
    original = ShortWay._read

    def note(self: ShortWay, endpoint: Any, environ: Any) -> Any:
        asked = original(self, endpoint, environ)
        ways.append(asked is not None)
        return asked

    monkeypatch.setattr(ShortWay, "_read", note)
    return ways


def send(provider: Provider, path: str, body: bytes = b"", *, method: str = "POST", **more: Any) -> TestResponse:
    given = {"content_type": FORM} | more
    return Client(provider.app).open(path, method=method, data=body, **given)


def told(answer: TestResponse) -> tuple[int, dict[str, str], bytes]:
    """What an answer says, its request's id aside."""
    headers = {name: value for name, value in answer.headers if name != "X-Request-Id"}
    return answer.status_code, headers, answer.data


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (TOKEN, b"", {}),
        (TOKEN, b"grant_type=refresh_token", {}),
        (TOKEN, b"grant_type=nothing&client_id=nobody", {}),
        (TOKEN, b"grant_type=refresh_token&client_id=nobody&refresh_token=x", {}),
        (TOKEN, b"grant_type=refresh_token&client_id=nobody&refresh_token=x&scope=a++b", {}),
        (TOKEN, b"grant_type=refresh_token&grant_type=refresh_token&client_id=nobody", {}),
        (TOKEN, b"grant_type=client_credentials", {"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="}),
        (TOKEN, b"grant_type=client_credentials", {"Authorization": "Basic \xff"}),
        (INTROSPECT, b"token=x", {}),
        (INTROSPECT, b"token=x&client_id=nobody&client_secret=wrong", {}),
        (REVOKE, b"token=x&client_id=nobody", {}),
        (USERINFO, b"access_token=a&access_token=b", {}),
        (USERINFO, b"", {"Authorization": "Bearer x.y.z"}),
        (USERINFO, b"", {"Authorization": "Bearer"}),
        (USERINFO, b"access_token=", {}),
    ],
)
def test_both_ways_say_the_same(
    provider: Provider, gone: list[bool], path: str, body: bytes, headers: dict[str, str]
) -> None:
    short = send(provider, path, body, headers=headers)
    ordinary = send(provider, f"{path}?a=query", body, headers=headers)

    assert told(short) == told(ordinary)
    assert short.headers["X-Request-Id"] != ordinary.headers["X-Request-Id"]
    assert gone == [True, False]


def test_both_ways_introspect_and_revoke(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, gone: list[bool]
) -> None:
    tokens = rp.sign_in(signed_in)
    headers, fields = rp.authentication()
    assert gone == [True]
    body = urlencode({"token": tokens.access_token, **fields}).encode()

    for query in ("", "?a=query"):
        gone.clear()
        answers = [send(provider, f"{path}{query}", body, headers=headers) for path in (INTROSPECT, REVOKE, INTROSPECT)]
        assert [json.loads(answer.data).get("active") for answer in answers] == [query == "", None, False]
        assert gone == [query == ""] * 3


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (b"grant_type=%FF", {}),
        (b"grant_type=%00", {}),
        (b"grant_type=%EF%BF%BD", {}),
        ("grant_type=ä".encode(), {}),
        (b"a=&" * (MAXIMUM_FIELDS + 1), {}),
        (b"grant_type=" + b"x" * MAXIMUM_BODY, {}),
        (b"grant_type=refresh_token", {"content_type": "multipart/form-data; boundary=x"}),
        (b"{}", {"content_type": "application/json"}),
        (b"grant_type=refresh_token", {"content_type": None}),
        (b"grant_type=refresh_token", {"environ_overrides": {"CONTENT_LENGTH": "9" * 5000}}),
        (b"grant_type=refresh_token", {"environ_overrides": {"CONTENT_LENGTH": "-1"}}),
        (b"grant_type=refresh_token", {"environ_overrides": {"CONTENT_LENGTH": "99"}}),
        (b"grant_type=refresh_token", {"environ_overrides": {"CONTENT_LENGTH": "²"}}),
    ],
)
def test_what_is_not_plain_goes_the_ordinary_way_and_is_refused_there(
    provider: Provider, gone: list[bool], body: bytes, more: dict[str, Any]
) -> None:
    answer = send(provider, TOKEN, body, **more)

    assert gone == [False]
    assert answer.status_code in {400, 401, 413}
    assert answer.get_json()["error"] in {"invalid_request", "invalid_client"}


def test_a_body_of_unknown_length_goes_the_ordinary_way_unread(provider: Provider, gone: list[bool]) -> None:
    body = BytesIO(b"grant_type=refresh_token")

    send(provider, TOKEN, environ_overrides={"wsgi.input": body, "HTTP_TRANSFER_ENCODING": "chunked"})

    assert gone == [False]
    assert body.tell() in {0, len(body.getvalue())}


@pytest.mark.parametrize(("method", "status"), [("PUT", 405), ("DELETE", 405), ("OPTIONS", 204), ("GET", 405)])
def test_other_methods_go_the_ordinary_way(provider: Provider, gone: list[bool], method: str, status: int) -> None:
    assert send(provider, TOKEN, method=method).status_code == status
    assert gone == [False]


def test_a_form_of_a_script_in_a_browser_goes_the_short_way(provider: Provider, gone: list[bool]) -> None:
    answer = send(provider, TOKEN, b"grant_type=refresh_token", content_type=f"{FORM};charset=UTF-8")

    assert gone == [True]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_reader_that_hangs_up_is_a_bad_request(provider: Provider) -> None:
    class HungUp(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ConnectionResetError

    environ = create_environ(TOKEN, method="POST", data=b"grant_type=refresh_token", content_type=FORM)
    environ["wsgi.input"] = HungUp()

    _, status, _ = run_wsgi_app(provider.app, environ)

    assert status == "400 BAD REQUEST"


def test_an_outage_on_the_short_way_is_a_503(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, lambda: OperationalError("SELECT", {}, Exception("gone")))

    answer = send(provider, TOKEN, b"grant_type=client_credentials&client_id=a&client_secret=b")

    assert answer.status_code == 503
    assert answer.get_json()["error"] == "temporarily_unavailable"
    assert answer.headers["Retry-After"] == "5"


def test_a_fault_of_ours_on_the_short_way_is_a_500_that_says_nothing(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, lambda: ZeroDivisionError("a secret"))
    monkeypatch.setitem(provider.app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setattr(provider.app, "testing", False)

    answer = send(provider, TOKEN, b"grant_type=client_credentials&client_id=a&client_secret=b")

    assert answer.status_code == 500
    assert answer.get_json()["error"] == "server_error"
    assert b"secret" not in answer.data


@pytest.mark.parametrize(("path", "goes"), [(TOKEN, True), (REVOKE, True), (INTROSPECT, False)])
def test_ends_and_refreshes_go_first_and_the_mark_is_taken_away(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, path: str, goes: bool
) -> None:
    seen: list[bool] = []

    def note() -> Exception:
        seen.append(goes_first.get())
        return OperationalError("SELECT", {}, Exception("gone"))

    _break(monkeypatch, note)
    send(provider, path, b"grant_type=client_credentials&client_id=a&client_secret=b&token=x")

    assert seen[0] is goes
    assert goes_first.get() is False


def _break(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Exception]) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise make()

    for door in ("autocommit", "single_reads", "transaction"):
        monkeypatch.setattr(Database, door, fail)
