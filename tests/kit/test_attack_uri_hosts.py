"""A registered address ends up in a CSP header: its host must be one, not header syntax, nor read in two ways."""

import pytest

from idp.kit.uris import find_redirect_uri_problem, find_web_uri_problem

HOSTS = [
    "a.example;sandbox",
    "a.example,",
    "'none'",
    "a.example\\b.example",
    'a".example',
    "a%2eexample",
    "a.example^",
    "[::1",
]


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_no_host_name_is_not_registered(host: str) -> None:
    assert find_redirect_uri_problem(f"https://{host}/callback") is not None
    assert find_web_uri_problem(f"https://{host}/logout") is not None


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.example/callback",
        "https://a-b.xn--bcher-kva.example:8443/x;y,z'?q=a,b;c",
        "https://[2001:db8::1]:8443/callback",
        "https://192.0.2.1/callback",
        "https://under_score.example/callback",
        "http://127.0.0.1:8080/callback",
        "http://[::1]/callback",
        "com.example.app:/callback",
    ],
)
def test_what_is_one_is(uri: str) -> None:
    assert find_redirect_uri_problem(uri) is None
