"""/developers/self-test/<link>: the exact request that an application gets, test notices, and what came back.

Only with a link that an operator made, in the one browser that opened it (docs/adr/0013). Opening it is a form, because
chats and mail scanners open links by themselves. This page sends nothing: it asks the worker to.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Response, render_template, request

from idp import web
from idp.clients.self_test import Asked, SelfTest, ask_for_test, find_self_test, open_self_test
from idp.keys import KeyUnavailable
from idp.logout.desk import developers
from idp.logout.logout_token import LOGOUT_EVENT
from idp.logout.sample_notice import ShownRequest, shown_request
from idp.logout.self_test_cases import CASES
from idp.logout.self_test_words import summarize
from idp.web.notices import leave_notice, take_notice
from idp.web.times import full_time

_NOT_ASKED = {
    Asked.UNDER_WAY: "A test is under way already.",
    Asked.TOO_SOON: "The last test was a moment ago. Wait ten seconds.",
    Asked.USED_UP: "This link has sent as many tests as it may. Ask the people who run this service for another one.",
}


@dataclass(frozen=True)
class Claim:
    """One line of what a logout token says."""

    name: str
    value: str
    meaning: str


_MEANINGS = {
    "iss": "who says so: this issuer, character by character",
    "aud": "for whom: your client_id",
    "iat": "when this token was made",
    "exp": "until when it may be used: two minutes",
    "jti": "a fresh name for each attempt, to notice a repetition",
    "events": "what it is: a logout, and nothing else",
    "sub": "the person, as in your ID tokens. Here nobody",
    "sid": "the session, as in your ID tokens. Here none: match this first",
    "toe": "when the session ended: spare sessions that are younger",
    "logout_reason": "why, because your application asked for it",
}


@developers.get("/developers/self-test/<handle>")
def show_self_test(handle: str) -> Response:
    """The test of one application; before it was opened a question, in other browsers and without a good link a 404."""
    services, now = web.current_services(), web.current_services().clock.now()
    test = _find(handle, now)
    if test is None:
        return _no_good()
    if test.is_taken:
        return _taken()
    if not test.is_open:
        return web.page("developer_open.html", action=_path(handle, "/open"))
    request_shown = _shown(test, now)
    return web.page(
        "developer_self_test.html",
        notice=take_notice(),
        client=test.client,
        expires_at=test.expires_at,
        tests_left=test.tests_left,
        is_waiting=test.is_waiting,
        is_given_up=test.is_given_up,
        answered_at=test.answered_at,
        summary=summarize(test.results) if test.results else None,
        send_path=_path(handle, "/send"),
        shown=request_shown,
        claims=_claims(request_shown) if request_shown else (),
        cases=tuple(case for case in CASES if not case.is_genuine),
        inspector_path=web.own_url("/developers/logout-token"),
        issuer=services.settings.issuer,
        snippet=render_template(
            "developer_snippet.txt",
            issuer=json.dumps(services.settings.issuer),
            jwks_uri=json.dumps(services.settings.url("/oauth2/jwks")),
            client_id=json.dumps(test.client.id),
            algorithm=json.dumps(test.client.id_token_signed_response_alg),
            event=json.dumps(LOGOUT_EVENT),
        ),
    )


@developers.post("/developers/self-test/<handle>/open")
def open_test(handle: str) -> Response:
    """Bind the link to this browser. Whoever is first has it; others are told so."""
    services, now = web.current_services(), web.current_services().clock.now()
    with services.database.transaction() as tx:
        open_self_test(tx, handle, browser=web.browser_binding(), ip_address=web.client_address(request), now=now)
    return web.see_other(_path(handle))


@developers.post("/developers/self-test/<handle>/send")
def send_test(handle: str) -> Response:
    """Ask the worker for a test."""
    services, now = web.current_services(), web.current_services().clock.now()
    with services.database.transaction() as tx:
        test = find_self_test(tx, handle, browser=web.known_browser_binding(), now=now)
        if test is None or not test.is_open:
            return _no_good() if test is None or not test.is_taken else _taken()
        asked = None
        if test.client.backchannel_logout_uri is not None:
            asked = ask_for_test(tx, test, ip_address=web.client_address(request), now=now)
    if asked is not None and asked is not Asked.YES:
        leave_notice(_NOT_ASKED[asked], tone="wait", symbol="clock")
    return web.see_other(_path(handle) + "#results")


def _find(handle: str, now: datetime) -> SelfTest | None:
    with web.current_services().database.reading() as tx:
        return find_self_test(tx, handle, browser=web.known_browser_binding(), now=now)


def _shown(test: SelfTest, now: datetime) -> ShownRequest | None:
    """None without a usable address or a key: the page says then what is missing."""
    try:
        return shown_request(web.current_services(), test.client, now=now)
    except (ValueError, KeyUnavailable):
        return None


def _claims(shown: ShownRequest) -> Sequence[Claim]:
    return tuple(_claim(name, value) for name, value in shown.claims.items())


def _claim(name: str, value: object) -> Claim:
    meaning = _MEANINGS.get(name, "")
    if isinstance(value, int):
        meaning = f"{full_time(datetime.fromtimestamp(value, UTC))}: {meaning}"
    return Claim(name, value if isinstance(value, str) else json.dumps(value), meaning)


def _path(handle: str, more: str = "") -> str:
    return web.own_url(f"/developers/self-test/{handle}{more}")


def _no_good() -> Response:
    return web.error_page(
        404,
        "This link does not work any more",
        "A link to a self-test works for eight hours, as long as its application is registered.",
        "Ask the people who run this service for a new one: they run “idp clients self-test-link”.",
    )


def _taken() -> Response:
    return web.error_page(
        404,
        "This link was opened in another browser",
        "It works only in the browser that opened it first.",
        "Go back to that browser, or ask the people who run this service for a new link. If it was not you who opened "
        "it, tell them so: they can withdraw it.",
    )
