"""Front-Channel Logout: what the browser that signs out is asked to open, for whom, and how little is claimed."""

from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest

from idp.clients import ClientSpec, create_client, update_client
from idp.db.models import LogoutDelivery, SessionClient
from tests.support.characters import Provider, RelyingParty
from tests.support.pages import Page, Visitor

FRAME = "https://rp.example/front-channel?from=idp"
ASKED = "Asked through this browser (cannot be confirmed)"


@pytest.fixture
def wiki(provider: Provider) -> RelyingParty:
    return provider.relying_party(
        name="Wiki", frontchannel_logout_uri=FRAME, post_logout_redirect_uris=("https://rp.example/bye",)
    )


def frames_of(html: str) -> list[str]:
    return [unescape(part.partition('"')[0]) for part in html.split('<iframe src="')[1:]]


def sign_out(browser: Visitor) -> str:
    """By the button of the account page; the address of the receipt."""
    answer = browser.submit(browser.page("/account/sessions").form("/logout"), button="sign-out")
    assert answer.location.startswith("/signed-out/")
    return str(answer.location)


@pytest.mark.spec("Front-Channel Logout", "3")
def test_the_signed_out_page_opens_the_address_with_issuer_and_sid_and_its_policy_allows_that_origin_alone(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    wiki.sign_in(signed_in)
    provider.relying_party(name="Other").sign_in(signed_in)
    (participation,) = provider.heart.all(SessionClient, SessionClient.client_id == wiki.client.id)

    answer = signed_in.get(sign_out(signed_in))

    (address,) = frames_of(answer.text)
    assert address.startswith(FRAME + "&")
    assert dict(parse_qsl(urlsplit(address).query)) == {
        "from": "idp",
        "iss": provider.settings.issuer,
        "sid": participation.sid,
    }
    policy = answer.headers["Content-Security-Policy"]
    assert [part for part in policy.split("; ") if part.startswith("frame-src")] == ["frame-src https://rp.example"]
    assert f"Wiki {ASKED}" in Page(answer.text).text
    assert "Other Cannot be told" in Page(answer.text).text


def test_without_such_applications_there_are_no_frames_and_no_way_for_any(
    provider: Provider, signed_in: Visitor, rp: RelyingParty
) -> None:
    rp.sign_in(signed_in)

    answer = signed_in.get(sign_out(signed_in))

    assert frames_of(answer.text) == []
    assert "frame-src" not in answer.headers["Content-Security-Policy"]


def test_another_browser_that_opens_the_receipt_is_asked_nothing(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    wiki.sign_in(signed_in)
    address = sign_out(signed_in)

    answer = provider.visitor().get(address)

    assert frames_of(answer.text) == []
    assert "Wiki" not in answer.text


def test_the_frames_are_for_the_moment_after_and_not_for_reading_it_up_later(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    wiki.sign_in(signed_in)
    address = sign_out(signed_in)

    provider.heart.clock.advance(minutes=2)

    assert frames_of(signed_in.get(address).text) == []


def test_a_session_that_ends_elsewhere_cannot_be_told_this_way(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    here = provider.visitor()
    assert here.sign_in("ada").status_code == 303
    wiki.sign_in(signed_in)
    there = (signed_in.cookie("idp_session") or "").partition(".")[0]

    here.submit(here.page("/account/sessions").form(f"/account/sessions/{there}/end"))

    (delivery,) = provider.heart.all(LogoutDelivery)
    assert delivery.frontchannel_uri is None
    assert "Cannot be told" in here.page(f"/account/sessions/{there}").text


@pytest.mark.spec("Front-Channel Logout", "4")
def test_an_application_that_asked_gets_the_person_back_after_the_frames(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    tokens = wiki.sign_in(signed_in)
    query = f"id_token_hint={tokens.id_token}&post_logout_redirect_uri=https://rp.example/bye&state=s1"

    answer = signed_in.get(f"/oauth2/logout?{query}")

    assert answer.location.startswith("/signed-out/")
    page = signed_in.get(answer.location).text
    back = "https://rp.example/bye?state=s1"
    assert len(frames_of(page)) == 1
    assert f'<meta http-equiv="refresh" content="3; url={back}">' in page
    assert f'data-go-on="{back}"' in page
    assert Page(page).links["Back to Wiki"] == back
    stranger = provider.visitor().get(answer.location).text
    assert "rp.example" not in stranger
    assert "You are signed out" in stranger


@pytest.mark.spec("Front-Channel Logout", "4")
def test_without_frames_the_person_goes_back_at_once(provider: Provider, signed_in: Visitor) -> None:
    rp = provider.relying_party(name="Plain", post_logout_redirect_uris=("https://rp.example/bye",))
    tokens = rp.sign_in(signed_in)

    answer = signed_in.get(
        f"/oauth2/logout?id_token_hint={tokens.id_token}&post_logout_redirect_uri=https://rp.example/bye"
    )

    assert answer.location == "https://rp.example/bye"


def test_ending_only_this_application_here_asks_it_too_and_the_browser_stays_signed_in(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    wiki.sign_in(signed_in)
    here = (signed_in.cookie("idp_session") or "").partition(".")[0]
    form = signed_in.page(f"/account/sessions/{here}").form(f"/account/sessions/{here}/end-application")

    answer = signed_in.submit(form)

    assert answer.location.startswith("/account/receipts/")
    page = signed_in.get(answer.location)
    assert len(frames_of(page.text)) == 1
    assert "frame-src https://rp.example" in page.headers["Content-Security-Policy"]
    assert signed_in.get("/account/sessions").status_code == 200


def test_the_question_names_who_is_asked_through_this_browser(
    provider: Provider, signed_in: Visitor, wiki: RelyingParty
) -> None:
    wiki.sign_in(signed_in)

    text = signed_in.page("/account/sessions/end-everywhere").text

    assert "Asked through this browser, which cannot be confirmed: Wiki." in text
    assert "Cannot be told" not in text


@pytest.mark.spec("Front-Channel Logout", "2")
@pytest.mark.parametrize(
    ("uri", "is_taken"),
    [
        ("https://rp.example/out", True),
        ("https://rp.example/out?a=b", True),
        ("https://other.example/out", False),
        ("http://rp.example/out", False),
        ("https://rp.example:8443/out", False),
        ("https://rp.example/out#x", False),
        ("javascript:alert(1)", False),
        ("/out", False),
        ("https://rp.example;script-src*/out", False),
    ],
)
def test_the_address_must_be_where_people_are_sent_back_to(provider: Provider, uri: str, is_taken: bool) -> None:
    spec = ClientSpec(name="Wiki", redirect_uris=("https://rp.example/callback",), frontchannel_logout_uri=uri)
    with provider.heart.database.transaction() as tx:
        made = create_client(tx, spec=spec, now=provider.heart.now)

    assert isinstance(made, list) is not is_taken
    if isinstance(made, list):
        assert {problem.field for problem in made} == {"frontchannel_logout_uri"}


def test_moving_the_redirect_uri_away_is_refused_while_the_address_stays(
    provider: Provider, wiki: RelyingParty
) -> None:
    with provider.heart.database.transaction() as tx:
        refused = update_client(
            tx, client_id=wiki.client.id, now=provider.heart.now, redirect_uris=("https://moved.example/callback",)
        )

    assert isinstance(refused, list)
    assert [problem.field for problem in refused] == ["frontchannel_logout_uri"]


@pytest.mark.spec("Front-Channel Logout", "3")
def test_discovery_says_so(provider: Provider) -> None:
    metadata = provider.get("/.well-known/openid-configuration").get_json()

    assert metadata["frontchannel_logout_supported"] is True
    assert metadata["frontchannel_logout_session_supported"] is True
