"""What every answer carries, what no request may contain, and how errors look."""

import json
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from idp import web
from idp.db.engine import DatabaseBusy
from idp.web.headers import page_policy
from tests.support.pages import Page, Site


def with_route(site: Site, path: str, view: Callable[[], str]) -> Flask:
    site.app.add_url_rule(path, path, web.csrf_exempt(view), methods=["GET", "POST"])
    return site.app


def test_a_page_may_load_and_send_only_what_it_names(site: Site) -> None:
    headers = site.visitor().get("/login").headers

    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "img-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert len(headers["X-Request-Id"]) == 16


@pytest.mark.parametrize(
    "source", ["https://a.example; script-src *", "*", "'unsafe-inline'", "https://a.example/x y", ""]
)
def test_a_source_that_is_no_origin_never_reaches_the_policy(source: str) -> None:
    assert page_policy(form_action=[source], img_src=[source], frame_src=[source]) == page_policy()


def test_origins_and_private_schemes_are_sources() -> None:
    policy = page_policy(form_action=["https://app.example:8443", "com.example.app:", "http://[::1]:4000"])

    # CSP cannot name an IPv6 address, so its scheme stands for it.
    assert "form-action 'self' https://app.example:8443 com.example.app: http:;" in policy


def test_pages_hold_no_inline_script_or_style(site: Site) -> None:
    site.person("ada")
    browser = site.signed_in("ada")

    for path in ("/login?switch=yes", "/account/sessions", "/account/applications", "/account/sessions/end-everywhere"):
        html = browser.get(path).text
        assert " style=" not in html
        assert "<style" not in html
        assert " onclick" not in html
        assert html.count("<script") == html.count('<script type="module" src=')


def test_https_is_remembered_by_browsers_and_plain_http_on_this_machine_is_not(open_site: Callable[..., Site]) -> None:
    secure = open_site(issuer="https://id.example.com").visitor().get("/login").headers
    plain = open_site(issuer="http://localhost").visitor().get("/login").headers

    assert secure["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in plain


def test_static_files_are_kept_for_ever_under_their_digest_and_briefly_without(site: Site) -> None:
    html = site.visitor().get("/login").text
    address = html.partition('rel="stylesheet" href="')[2].partition('"')[0]

    exact = site.visitor().get(address)
    bare = site.visitor().get("/assets/site.css")
    wrong = site.visitor().get("/assets/site.css?v=0123456789ab")

    assert exact.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert bare.headers["Cache-Control"] == wrong.headers["Cache-Control"] == "public, max-age=300"
    assert site.visitor().get("/assets/../pages.py").status_code == 404


@pytest.mark.parametrize("path", ["/login?x=%00", "/login?%00=x", "/login?x=%ED%A0%80", "/login?x=%ff", "/%00", "/%ff"])
def test_bytes_that_no_text_has_are_refused(site: Site, path: str) -> None:
    assert site.visitor().get(path).status_code == 400


def test_a_request_with_too_many_fields_is_refused_and_one_with_fewer_is_not(site: Site) -> None:
    browser = site.visitor()

    assert browser.get("/login?" + "&".join(f"f{n}=1" for n in range(201))).status_code == 400
    assert browser.get("/login?" + "&".join(f"f{n}=1" for n in range(200))).status_code == 200


def test_a_body_that_is_too_large_is_413(site: Site) -> None:
    browser = site.visitor()
    form = browser.page("/login").form("/login")

    assert browser.submit(form, username="a" * 65_536, password="x").status_code == 413


def test_pages_for_people_and_json_for_programs(site: Site) -> None:
    page = site.visitor().get("/nowhere")
    answer = site.visitor().get("/oauth2/nowhere")

    assert page.status_code == answer.status_code == 404
    assert "There is nothing here" in Page(page.text).text
    assert page.headers["X-Request-Id"] in page.text
    assert json.loads(answer.text)["error"] == "not_found"


def test_a_wrong_method_says_which_are_right(site: Site) -> None:
    answer = site.visitor()._open("/account/sessions", "PUT")

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("failure", [OperationalError("SELECT 1", {}, Exception("down")), DatabaseBusy("busy")])
def test_a_database_that_cannot_be_asked_is_503_and_worth_another_try(site: Site, failure: Exception) -> None:
    def fail() -> str:
        raise failure

    with_route(site, "/page", fail)
    with_route(site, "/oauth2/program", fail)

    page, answer = site.visitor().get("/page"), site.visitor().get("/oauth2/program")

    assert page.status_code == answer.status_code == 503
    assert page.headers["Retry-After"] == answer.headers["Retry-After"] == "5"
    assert json.loads(answer.text)["error"] == "temporarily_unavailable"
    assert "SELECT" not in page.text + answer.text


def test_a_fault_of_ours_tells_its_number_and_not_its_cause(site: Site) -> None:
    def fail() -> str:
        raise RuntimeError("the secret cause")

    with_route(site, "/page", fail)
    site.app.config["PROPAGATE_EXCEPTIONS"] = False

    answer = site.visitor().get("/page")

    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] in answer.text
    assert "secret cause" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_request_number_never_comes_from_outside(site: Site) -> None:
    answer = site.visitor().get("/nowhere", **{"X-Request-Id": "forged"})

    assert "forged" not in answer.text + answer.headers["X-Request-Id"]


def test_no_host_header_ever_makes_an_address(site: Site) -> None:
    for path in ("/login", "/account/sessions", "/nowhere"):
        answer = site.visitor().get(path, Host="evil.example", **{"X-Forwarded-Host": "evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers)


def test_below_an_issuer_with_a_path_everything_stays_below_it(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="http://localhost/idp")
    site.person("ada")
    browser = site.visitor()

    answer = browser.submit(
        browser.page("/idp/login").form("/idp/login"), username="ada", password="correct horse battery staple"
    )

    assert answer.location == "/idp/account"
    html = browser.get("/idp/account/sessions").text
    addresses = [
        piece.partition('"')[0] for mark in (' href="', ' action="', ' src="') for piece in html.split(mark)[1:]
    ]
    assert [address for address in addresses if address and not address.startswith(("/idp/", "#"))] == []
    assert browser.get("/idp/account").location == "/idp/account/sessions"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7*7 }}"])
def test_names_from_outside_are_printed_and_never_obeyed(site: Site, name: str) -> None:
    browser = site.visitor()

    answer = browser.sign_in(name, "wrong")

    assert "<script>alert" not in answer.text
    assert "<img src=x>" not in answer.text
    assert Page(answer.text).form("/login").fields["username"] == name
