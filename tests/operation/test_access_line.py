"""One line per request: who, what route, how it ended, how long; never an address, a query or what a form held."""

from collections.abc import Callable
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import OperationalError

from idp.db.engine import Database
from idp.kit.logs import add_request_id
from tests.operation.conftest import LogStream
from tests.support.characters import CLI_REDIRECT, Provider
from tests.support.pages import PASSWORD

OpenLog = Callable[..., LogStream]
OpenProvider = Callable[..., Provider]


def test_a_request_leaves_one_line_with_the_template_of_its_route(provider: Provider, log: LogStream) -> None:
    response = provider.visitor(address="198.51.100.7").get("/signed-out/0123456789?from=here")

    (line,) = log.lines("request")
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert isinstance(line.pop("milliseconds"), float)
    assert {name: line[name] for name in ("method", "route", "status", "client")} == {
        "method": "GET",
        "route": "/signed-out/<handle>",
        "status": 404,
        "client": "198.51.100.7",
    }
    assert "0123456789" not in log.text
    assert "from=here" not in log.text


def test_what_a_stranger_invents_is_folded_into_one_name(provider: Provider, log: LogStream) -> None:
    client = provider.app.test_client()

    client.get("/no/such/place?code=abc")
    client.open("/login", method="BREW")

    assert [(line["method"], line["route"], line["status"]) for line in log.lines("request")] == [
        ("GET", "(none)", 404),
        ("OTHER", "(none)", 405),
    ]
    assert "such/place" not in log.text


def test_a_request_with_a_broken_body_or_path_leaves_its_line_too(provider: Provider, log: LogStream) -> None:
    client = provider.app.test_client()

    client.get("/login?a=%ff")
    client.post("/oauth2/token", data=b"x" * 100_000, content_type="application/x-www-form-urlencoded")

    assert [line["status"] for line in log.lines("request")] == [400, 413]


def test_an_outage_on_the_short_way_is_one_request_in_all_its_lines(
    provider: Provider, log: LogStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(Database, "autocommit", fail)
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}

    answer = provider.app.test_client().post("/oauth2/token", data=form)

    assert {line["request_id"] for line in log.lines()} == {answer.headers["X-Request-Id"]}
    assert [(line["route"], line["status"]) for line in log.lines("request")] == [("/oauth2/token", 503)]


def test_an_unexpected_error_is_told_once_with_its_cause_under_the_same_request_id(
    provider: Provider, log: LogStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.app.testing = False
    monkeypatch.setattr("idp.login.routes.find_waiting", lambda *_, **__: 1 / 0)

    response = provider.visitor().get("/login?request=secret")

    (failed,), (line,) = log.lines("request_failed"), log.lines("request")
    assert response.status_code == line["status"] == 500
    assert failed["route"] == line["route"] == "/login"
    assert "ZeroDivisionError" in failed["exception"]
    assert failed["request_id"] == line["request_id"] == response.headers["X-Request-Id"]
    assert "request=secret" not in log.text


def test_probes_leave_no_lines_unless_one_debugs(provider: Provider, open_log: OpenLog) -> None:
    quiet = open_log("info")
    provider.get("/healthz")
    loud = open_log("debug")
    provider.get("/healthz")

    assert quiet.lines("request") == []
    assert [line["route"] for line in loud.lines("request")] == ["/healthz"]


def test_access_lines_can_be_switched_off(open_provider: OpenProvider, log: LogStream) -> None:
    open_provider(access_log=False).get("/login")
    assert log.lines("request") == []

    open_provider(access_log=True).get("/login")
    assert len(log.lines("request")) == 1


def test_the_client_is_the_address_behind_trusted_proxies_alone(open_provider: OpenProvider, log: LogStream) -> None:
    from ipaddress import ip_network

    provider = open_provider(trusted_proxies=(ip_network("10.0.0.0/8"),))
    claimed = {"X-Forwarded-For": "203.0.113.9"}

    provider.visitor(address="10.0.0.2").get("/login", **claimed)
    provider.visitor(address="198.51.100.7").get("/login", **claimed)

    assert [line["client"] for line in log.lines("request")] == ["203.0.113.9", "198.51.100.7"]


def test_a_whole_story_logs_no_credential_even_before_anything_is_masked(
    open_provider: OpenProvider, restored_logging: None
) -> None:
    """The net below (redaction) is not what keeps them out: here it is taken away."""
    events: list[dict[str, Any]] = []

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[add_request_id, keep])
    secrets = _story(open_provider())

    assert len([event for event in events if event["event"] == "request"]) > 15
    text = repr(events)
    assert not [name for name, secret in secrets.items() if secret in text]


def _story(provider: Provider) -> dict[str, str]:
    """Sign in at two clients, refresh, reuse, a wrong password, sign out; every credential that was seen, by name."""
    provider.person("ada")
    tool = provider.relying_party(
        name="Tool", redirect_uris=(CLI_REDIRECT,), public=True, scopes=("openid", "offline_access")
    )
    wiki = provider.relying_party(name="Wiki")
    browser = provider.visitor()
    browser.submit(browser.page("/login").form("/login"), username="ada", password="a wrong password")
    authorized = wiki.authorize(browser)
    tokens = wiki.redeem(authorized.code)
    wiki.redeem(authorized.code)
    tool_tokens = tool.sign_in(browser, scope="openid offline_access")
    provider.heart.clock.advance(minutes=1)
    newer = tool.refresh(tool_tokens)
    provider.heart.clock.advance(minutes=1)
    newest = tool.refresh(newer)
    assert tool.refresh(tool_tokens).error == "invalid_grant"  # reuse
    tool.introspect(newer.access_token)
    wiki.userinfo(tokens)
    csrf = browser.page("/login?switch=yes").form("/login").fields["csrf_token"]
    handle = browser.cookie("idp_session") or ""
    response = browser.submit(browser.page("/logout").form("/logout"), button="logout-confirm")
    receipt = (response.location or "").rpartition("/")[2]
    browser.get(f"/signed-out/{receipt}")
    assert receipt
    assert handle
    return {
        "password": PASSWORD,
        "wrong password": "a wrong password",
        "code": authorized.code.partition(".")[2],
        "verifier": wiki.verifier,
        "client secret": wiki.secret or "-",
        "access token": tokens.access_token,
        "id token": tokens.id_token,
        "refresh token": tool_tokens.refresh_token,
        "newer refresh token": newer.refresh_token,
        "newest refresh token": newest.refresh_token,
        "csrf token": csrf,
        "cookie": handle.partition(".")[2],
        "receipt": receipt.partition(".")[2],
        "state": "st-1",
    }
