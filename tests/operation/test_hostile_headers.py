"""Only the configured issuer makes addresses: no Host, Forwarded or X-Forwarded header ever does (lessons: security).

Every route of the application is asked with them, and whole flows are walked with them.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.support.characters import Provider, RelyingParty
from tests.support.pages import PASSWORD, Visitor

OpenProvider = Callable[..., Provider]
EVIL = "evil.example"
HOSTILE = {
    "Host": EVIL,
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Prefix": f"//{EVIL}",
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "X-Original-URL": f"//{EVIL}/admin",
    "X-Rewrite-URL": f"//{EVIL}/admin",
    "X-Script-Name": f"//{EVIL}",
    "Forwarded": f'for=203.0.113.9;host="{EVIL}";proto=https',
    "Referer": f"https://{EVIL}/",
}


def assert_untouched(response: TestResponse) -> None:
    everything = response.text + "\n".join(f"{name}: {value}" for name, value in response.headers)
    assert EVIL not in everything
    assert "203.0.113.9" not in everything
    assert ":8443" not in everything


def addresses(provider: Provider) -> Iterator[str]:
    """One address for each route that can be asked by GET."""
    for rule in provider.app.url_map.iter_rules():
        if "GET" in (rule.methods or ()):
            yield rule.build(dict.fromkeys(rule.arguments, "0" * 26), append_unknown=False)[1]  # type: ignore[index]


def signed_in_cookies(provider: Provider, path: str) -> str:
    """What the browser of a signed-in person sends; as a header, since a test client keeps cookies per Host."""
    provider.person("ada")
    browser = provider.visitor()
    form = browser.page(path + "/login").form(path + "/login")
    assert browser.submit(form, username="ada", password=PASSWORD).status_code == 303
    return "; ".join(f"{name}={browser.cookie(name)}" for name in ("idp_session", "idp_browser"))


@pytest.mark.parametrize("path", ["", "/id"])
def test_no_route_repeats_them_signed_in_or_not(open_provider: OpenProvider, path: str) -> None:
    provider = open_provider(issuer="http://localhost" + path)
    cookies = signed_in_cookies(provider, path)

    client = provider.app.test_client(use_cookies=False)
    asked = list(addresses(provider))
    for address in asked:
        for headers in (HOSTILE, {**HOSTILE, "Cookie": cookies}):
            response = client.get(address, headers=headers, buffered=True)
            assert_untouched(response)
            assert response.status_code < 500 or address == "/readyz"  # the test's clock is not the database's
            location = response.headers.get("Location")
            assert location is None or location.startswith(path + "/")
    assert len(asked) > 20
    account = client.get(path + "/account/sessions", headers={**HOSTILE, "Cookie": cookies})
    assert account.status_code == 200, "the cookies were not sent: the loop above proved nothing"


def test_discovery_and_tokens_name_the_issuer_alone(
    provider: Provider, ada: object, browser: Visitor, rp: RelyingParty
) -> None:
    browser.client.environ_base.update(
        {"HTTP_" + name.upper().replace("-", "_"): value for name, value in HOSTILE.items()}
    )

    metadata = provider.get("/.well-known/openid-configuration", headers=HOSTILE)
    answer = rp.authorize(browser)
    tokens = rp.redeem(answer.code)

    assert_untouched(metadata)
    assert metadata.get_json()["issuer"] == "http://localhost"
    assert {urlsplit(value).netloc for value in metadata.get_json().values() if str(value).startswith("http")} == {
        "localhost"
    }
    assert answer.fields["iss"] == "http://localhost"
    assert rp.read(tokens.id_token)["iss"] == rp.read(tokens.access_token)["iss"] == "http://localhost"


def test_signing_out_leads_to_the_registered_address_and_nowhere_else(
    open_provider: OpenProvider,
) -> None:
    provider = open_provider()
    provider.person("ada")
    rp = provider.relying_party(name="Wiki", post_logout_redirect_uris=("https://rp.example/bye",))
    browser = provider.visitor()
    tokens = rp.sign_in(browser)

    def sign_out(to: str) -> TestResponse:
        query = urlencode({"id_token_hint": tokens.id_token, "post_logout_redirect_uri": to, "state": "s"})
        return browser.get("/oauth2/logout?" + query, **HOSTILE)

    refused = sign_out(f"https://{EVIL}/bye")
    assert EVIL not in (refused.headers.get("Location") or "")
    accepted = sign_out("https://rp.example/bye")
    assert urlsplit(accepted.headers["Location"])._replace(query="").geturl() == "https://rp.example/bye"
    assert dict(parse_qsl(urlsplit(accepted.headers["Location"]).query)) == {"state": "s"}


NO_HOSTS = ("", "a b", "localhost:99999", "localhost:x", "[::1", "[::1]:80", "exa_mple", "é.example", "x:y@z", "../..")
LONG_HOSTS = ("a" * 300, "localhost, evil.example", "localhost\tevil", "'\"><script>")


@pytest.mark.parametrize("host", [*NO_HOSTS, *LONG_HOSTS])
def test_a_host_that_is_none_is_answered_like_any_other_or_refused_but_never_an_error(
    provider: Provider, host: str
) -> None:
    for path in ("/login", "/account", "/healthz", "/.well-known/openid-configuration"):
        response = provider.app.test_client().open(path, environ_overrides={"HTTP_HOST": host})

        assert response.status_code in {200, 303, 400}, (path, response.status_code)
        assert host not in LONG_HOSTS or host not in response.text + str(response.headers)


def test_no_cookie_names_a_domain(provider: Provider, ada: object) -> None:
    browser = provider.visitor()
    form = browser.page("/login").form("/login")

    headers = {name: value for name, value in HOSTILE.items() if name != "Host"}
    response = browser.submit(form, headers=headers, username="ada", password=PASSWORD)

    assert response.status_code == 303
    assert response.headers.getlist("Set-Cookie")
    assert not [cookie for cookie in response.headers.getlist("Set-Cookie") if "domain=" in cookie.lower()]


def test_the_account_page_shows_the_address_behind_a_trusted_proxy_and_none_that_was_made_up(
    open_provider: OpenProvider,
) -> None:
    provider = open_provider(trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    provider.person("ada")

    def seen(peer: str, **headers: Any) -> str:
        browser = provider.visitor(address=peer)
        form = browser.page("/login").form("/login")
        assert browser.submit(form, headers=headers, username="ada", password=PASSWORD).status_code == 303
        return browser.page("/account/sessions").text

    assert "198.51.100.1" in seen("198.51.100.1", **{"X-Forwarded-For": "203.0.113.1"})
    assert "203.0.113.2" in seen("10.0.0.2", **{"X-Forwarded-For": "192.0.2.66, 203.0.113.2"})
    assert "203.0.113.3" in seen("10.0.0.2", **{"X-Forwarded-For": "192.0.2.66, 203.0.113.3, 10.0.0.9"})
    text = seen("10.0.0.2", **{"Forwarded": "for=192.0.2.77", "X-Real-IP": "192.0.2.77", "X-Client-IP": "192.0.2.77"})
    for made_up in ("203.0.113.1 ", "192.0.2.66", "192.0.2.77"):
        assert made_up not in text


def test_guesses_cannot_be_spread_over_invented_addresses(open_provider: OpenProvider) -> None:
    provider = open_provider(guesses_per_address=3, guesses_per_person=100)
    provider.person("ada")

    statuses = []
    for attempt in range(5):
        browser = provider.visitor(address="198.51.100.9")
        form = browser.page("/login").form("/login")
        claimed = {"X-Forwarded-For": f"203.0.113.{attempt}", "X-Real-IP": f"203.0.113.{attempt}"}
        statuses.append(
            browser.submit(form, headers=claimed, username=f"somebody{attempt}", password="guess").status_code
        )

    assert statuses == [403, 403, 403, 429, 429]
