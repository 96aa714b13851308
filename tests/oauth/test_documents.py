"""Discovery and JWKS from kept bytes are what the ordinary way answers, and change when the keys do."""

import pytest
from werkzeug.test import TestResponse

from tests.support.characters import Provider

PATHS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth2/jwks")


def told(response: TestResponse) -> tuple[int, dict[str, str], bytes]:
    """What an answer says, its request's id aside."""
    headers = {name: value for name, value in response.headers if name != "X-Request-Id"}
    return response.status_code, headers, response.data


@pytest.mark.parametrize("path", PATHS)
def test_a_kept_answer_says_what_the_ordinary_one_says(provider: Provider, path: str) -> None:
    first = provider.get(path)
    kept = provider.get(path)
    ordinary = provider.get(f"{path}?a=query")

    assert told(kept) == told(ordinary) == told(first)
    ids = {response.headers["X-Request-Id"] for response in (first, kept, ordinary)}
    assert len(ids) == 3


@pytest.mark.parametrize("path", PATHS)
def test_a_kept_answer_never_gets_as_far_as_the_application(
    provider: Provider, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.get(path)
    monkeypatch.setattr(provider.app, "full_dispatch_request", lambda: 1 / 0)

    assert provider.get(path).status_code == 200


def test_a_new_key_is_published_at_once(provider: Provider) -> None:
    before = provider.get("/oauth2/jwks").get_json()["keys"]

    provider.keys("RS256")
    after = provider.get("/oauth2/jwks").get_json()["keys"]

    assert len(after) == len(before) + 1


def test_only_a_plain_get_is_answered_from_what_is_kept(provider: Provider) -> None:
    provider.get("/oauth2/jwks")
    client = provider.app.test_client()

    assert client.post("/oauth2/jwks").status_code == 405
    assert client.options("/oauth2/jwks").status_code == 204
    assert client.head("/oauth2/jwks").data == b""


def test_a_kept_answer_has_its_line_in_the_log_with_its_own_id(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.get("/oauth2/jwks")
    capsys.readouterr()

    request_id = provider.get("/oauth2/jwks").headers["X-Request-Id"]

    written = "".join(capsys.readouterr())
    assert request_id in written
    assert "/oauth2/jwks" in written
