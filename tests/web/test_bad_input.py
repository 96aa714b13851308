"""Every endpoint of the application against bad input: a clear refusal, never a fault of ours, and nothing changes.

The endpoints are read from the application's own table of routes, so that a new one is asked too. One signed-in browser
asks, with its cookies: behind the sign-in is where most can go wrong. (Hostile Host and Forwarded headers:
tests/operation/test_hostile_headers.py. Slow clients: the server's work, tests/operation/test_slow_clients.py.)
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.db.models import Base
from tests.support.characters import Provider
from tests.support.pages import PASSWORD

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
FORM = "application/x-www-form-urlencoded"
# A person's last activity is written by any page that they look at.
MOVES_BY_ITSELF = {"sessions", "audit_events", "stored_requests", "guess_budgets"}
BODIES: dict[str, tuple[str, bytes]] = {
    "ten megabytes": (FORM, b"a=" + b"x" * 10_000_000),
    "ten thousand fields": (FORM, b"&".join(b"f%d=1" % number for number in range(10_000))),
    "a NUL": (FORM, b"client_id=%00&token=%00&username=%00&password=x"),
    "no UTF-8": (FORM, b"client_id=%ff%fe&token=%c3%28&username=%80"),
    "raw bytes": (FORM, bytes(range(256))),
    "a lone surrogate": (FORM, b"client_id=%ed%a0%80&token=%ed%a0%80"),
    "the same field often": (FORM, b"&".join([b"client_id=a", b"token=b", b"grant_type=refresh_token"] * 20)),
    "broken escapes": (FORM, b"client_id=%&token=%zz&grant_type=%u0041"),
    "JSON": ("application/json", b'{"client_id": {"$ne": null}, "token": [[[[]]]]}'),
    "broken JSON": ("application/json", b"{" * 5_000),
    "XML": ("application/xml", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "a file": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"; filename="../b"'),
    "no boundary": ("multipart/form-data", b"--x--"),
    "an odd type": ("\xff/\xff; charset=\xff", b"a=b"),
    "nothing": (FORM, b""),
}
QUERIES: dict[str, str] = {
    "64 kB": "a=" + "x" * 65_536,
    "ten thousand fields": "&".join(f"f{number}=1" for number in range(10_000)),
    "a NUL": "client_id=%00&after=%00&next=%00&state=%00",
    "no UTF-8": "client_id=%ff&after=%c3%28&request_uri=%80",
    "a lone surrogate": "client_id=%ed%a0%80",
    "control characters": "client_id=%0d%0aSet-Cookie:%20a=b&next=%0d%0aLocation:%20//evil.example",
    "huge numbers": "max_age=" + "9" * 4_000 + "&page=-1&limit=1e309",
    "twice": "client_id=a&client_id=b&redirect_uri=c&redirect_uri=d&request=e&request=f",
    "markup": "client_id=%3Cscript%3Ealert(1)%3C/script%3E&error=%3Cimg%20src=x%3E",
}
PATHS = {
    "a NUL": "%00",
    "no UTF-8": "%ff%fe",
    "long": "x" * 65_536,
    "dots": "%2e%2e%2f%2e%2e",
    "markup": "%3Cscript%3Ealert(1)",
    "other": "%E2%98%83",
    "a half handle": "0" * 26 + "." + "A" * 22,
}
PART = "0" * 26


@pytest.fixture
def cookies(provider: Provider) -> str:
    provider.person("ada")
    browser = provider.visitor()
    form = browser.page("/login").form("/login")
    assert browser.submit(form, username="ada", password=PASSWORD).status_code == 303
    return "; ".join(f"{name}={browser.cookie(name)}" for name in ("idp_session", "idp_browser"))


def addresses(provider: Provider, part: str = PART) -> Iterator[str]:
    """One address for each route."""
    for rule in provider.app.url_map.iter_rules():
        built = rule.build(dict.fromkeys(rule.arguments, PART), append_unknown=False)
        assert built is not None
        yield built[1].replace(PART, part)


def ask(provider: Provider, method: str, address: str, cookies: str, **more: Any) -> TestResponse:
    provider.app.testing = False  # an exception becomes the answer that it would be in a process
    client = provider.app.test_client(use_cookies=False)
    return client.open(address, method=method, headers={"Cookie": cookies}, buffered=True, **more)


def assert_refused_in_order(answer: TestResponse, what: object) -> None:
    assert answer.status_code < 500 or answer.request.path == "/readyz", (what, answer.status_code, answer.text[:300])
    said = answer.text
    assert "Traceback" not in said, what
    assert "<script>alert" not in said, what
    assert "evil.example" not in (answer.headers.get("Location") or ""), what
    assert not any(one.startswith("a=b") for one in answer.headers.get_all("Set-Cookie")), what


def everything(provider: Provider) -> dict[str, Any]:
    with provider.heart.database.reading() as tx:
        return {
            table.name: sorted(map(repr, tx.execute(select(table)).all()))
            for table in Base.metadata.sorted_tables
            if table.name not in MOVES_BY_ITSELF
        }


def test_no_body_brings_an_endpoint_down_or_changes_anything(provider: Provider, cookies: str) -> None:
    before = everything(provider)

    for address in addresses(provider):
        for name, (kind, body) in BODIES.items():
            answer = ask(provider, "POST", address, cookies, data=body, content_type=kind)
            assert_refused_in_order(answer, (address, name))
            assert answer.status_code >= 300 or "/static/" in address, (address, name, answer.status_code)

    assert everything(provider) == before
    assert ask(provider, "GET", "/account/sessions", cookies).status_code == 200, "the person was signed out"


def test_no_query_brings_an_endpoint_down_or_is_obeyed(provider: Provider, cookies: str) -> None:
    before = everything(provider)

    for address in addresses(provider):
        for name, query in QUERIES.items():
            assert_refused_in_order(ask(provider, "GET", address, cookies, query_string=query), (address, name))

    assert everything(provider) == before
    assert ask(provider, "GET", "/account/sessions", cookies).status_code == 200


def test_no_path_brings_an_endpoint_down(provider: Provider, cookies: str) -> None:
    with_parts = [rule for rule in provider.app.url_map.iter_rules() if rule.arguments]
    assert with_parts

    for name, part in PATHS.items():
        for address in addresses(provider, part):
            assert_refused_in_order(ask(provider, "GET", address, cookies), (address[:80], name))
            assert_refused_in_order(ask(provider, "POST", address, cookies, data={"a": "b"}), (address[:80], name))


def test_a_method_that_an_endpoint_has_not_is_405_and_names_those_that_it_has(provider: Provider, cookies: str) -> None:
    rules = {rule.rule: rule for rule in provider.app.url_map.iter_rules() if not rule.arguments}
    allowed: dict[str, set[str]] = {}
    for rule in provider.app.url_map.iter_rules():
        allowed.setdefault(rule.rule, set()).update(rule.methods or ())

    for address, rule in rules.items():
        for method in METHODS:
            answer = ask(provider, method, address, cookies)
            assert_refused_in_order(answer, (method, rule))
            if method not in allowed[address]:
                assert answer.status_code == 405, (method, address, answer.status_code)
                assert set(answer.headers["Allow"].replace(" ", "").split(",")) <= allowed[address]


def test_oversized_bodies_and_queries_are_told_apart_from_faults(provider: Provider, cookies: str) -> None:
    too_much, too_many = BODIES["ten megabytes"], BODIES["ten thousand fields"]

    for address in ("/login", "/oauth2/token", "/oauth2/introspect", "/oauth2/authorize", "/oauth2/logout"):
        assert ask(provider, "POST", address, cookies, data=too_much[1], content_type=FORM).status_code == 413
        assert ask(provider, "POST", address, cookies, data=too_many[1], content_type=FORM).status_code in {400, 413}
    for address in ("/login", "/oauth2/authorize", "/account/sessions"):
        assert ask(provider, "GET", address, cookies, query_string=QUERIES["64 kB"]).status_code == 400
