"""What an authorization request leads to: sign-in, step-up, consent, hints; over HTTP, and the decision by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp import clients
from idp.clients import AskingClient
from idp.db.models import Consent, RefreshBinding, User
from idp.oauth.authorize_request import AuthorizeRequest
from idp.oauth.claims_request import ClaimsRequest
from idp.oauth.next_step import AskConsent, IssueCode, Refuse, ShowLogin, next_step
from idp.sessions import CurrentSession
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import Page, Visitor

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIGNED_IN_AT = NOW - timedelta(hours=1)


def _client(**given: Any) -> AskingClient:
    return AskingClient(**{**dict.fromkeys(AskingClient._fields), **given})


CLIENT = _client(
    id="c",
    scopes=("openid", "email", "offline_access"),
    token_endpoint_auth_method="client_secret_basic",
    grant_types=("authorization_code", "refresh_token"),
    refresh_binding=RefreshBinding.SESSION,
    is_first_party=False,
)
NATIVE = _client(
    id="n",
    scopes=("openid", "offline_access"),
    token_endpoint_auth_method="none",
    grant_types=("authorization_code", "refresh_token"),
    refresh_binding=RefreshBinding.STANDALONE,
    is_first_party=True,
)
SESSION = CurrentSession(
    id="s",
    user_id="u",
    sub="ada",
    user_epoch=0,
    user_display_name="Ada",
    email=None,
    username="ada",
    auth_time=SIGNED_IN_AT,
    amr=("pwd",),
    acr=None,
    keep_signed_in=False,
    started_at=SIGNED_IN_AT,
    last_active_at=NOW,
    needs_touch=False,
    was_previous_secret=False,
)
FRESH = replace(SESSION, auth_time=NOW - timedelta(minutes=1))
BEGAN_AT = NOW - timedelta(minutes=2)
ALL = ("openid", "email")


def step(
    session: CurrentSession | None = SESSION,
    consented: tuple[str, ...] | None = ALL,
    *,
    client: AskingClient = CLIENT,
    prompt: str = "",
    is_approved: bool = False,
    **request: Any,
) -> str:
    """The decision, in one word."""
    asked = AuthorizeRequest(
        client,
        **{
            "redirect_uri": "https://rp.example/" if client is CLIENT else "http://127.0.0.1/",
            "scope": ("openid",),
            "prompt": frozenset(prompt.split()),
            **request,
        },
    )
    match next_step(asked, session, consented, began_at=BEGAN_AT, is_approved=is_approved, now=NOW):
        case ShowLogin():
            return "login"
        case AskConsent(is_native):
            return "native page" if is_native else "consent"
        case IssueCode():
            return "code"
        case Refuse(error, _):
            return error


@pytest.mark.spec("OIDC Core", "3.1.2.1")
def test_every_prompt_has_its_step() -> None:
    nobody, unasked = None, None
    assert step(nobody) == "login"
    assert step(nobody, prompt="none") == "login_required"
    assert step(nobody, prompt="consent") == "login"
    assert step() == "code"
    assert step(prompt="none") == "code"
    assert step(prompt="login") == "login"
    assert step(FRESH, prompt="login") == "code"
    assert step(prompt="select_account") == "login"
    assert step(FRESH, prompt="select_account") == "code"
    assert step(prompt="consent") == "consent"
    assert step(prompt="consent", is_approved=True) == "code"
    assert step(prompt="login consent") == "login"
    assert step(FRESH, prompt="login consent") == "consent"
    assert step(FRESH, prompt="login consent", is_approved=True) == "code"
    assert step(SESSION, unasked) == "consent"
    assert step(SESSION, unasked, prompt="none") == "consent_required"
    assert step(SESSION, ("openid",), scope=ALL) == "consent"
    assert step(SESSION, ALL, scope=ALL) == "code"


def test_an_approval_does_not_stand_for_a_sign_in() -> None:
    assert step(None, is_approved=True) == "login"
    assert step(prompt="login", is_approved=True) == "login"


@pytest.mark.parametrize(
    ("max_age", "session", "expected"),
    [
        (3600, SESSION, "code"),
        (3599, SESSION, "login"),
        (0, SESSION, "login"),
        (0, FRESH, "code"),
        (59, FRESH, "code"),  # signed in after the request began: asking again would never end
    ],
)
def test_max_age_is_satisfied_by_a_recent_sign_in_or_by_one_for_this_request(
    max_age: int, session: CurrentSession, expected: str
) -> None:
    assert step(session, max_age=timedelta(seconds=max_age)) == expected
    if expected == "login":
        assert step(session, max_age=timedelta(seconds=max_age), prompt="none") == "login_required"


def test_a_hint_of_another_person_asks_once_and_then_says_no() -> None:
    for asked in ({"hinted_sub": "bob"}, {"claims": ClaimsRequest(sub="bob")}):
        assert step(**asked) == "login"
        assert step(prompt="none", **asked) == "login_required"
        assert step(FRESH, **asked) == "login_required"
    for asked in ({"hinted_sub": "ada"}, {"claims": ClaimsRequest(sub="ada")}):
        assert step(**asked) == "code"


@pytest.mark.spec("OIDC Core", "5.5.1.1")
def test_an_essential_acr_that_was_not_reached_is_an_error() -> None:
    asked = ClaimsRequest(essential_acr=("gold",))

    assert step(claims=asked) == "unmet_authentication_requirements"
    assert step(replace(SESSION, acr="gold"), claims=asked) == "code"


def test_claims_asked_for_by_name_need_the_same_consent_as_their_scope() -> None:
    by_name = ClaimsRequest(userinfo=("email",))

    assert step(SESSION, ("openid",), claims=by_name) == "consent"
    assert step(SESSION, ALL, claims=by_name) == "code"
    # Not this client's to have, so there is nothing to ask.
    assert step(SESSION, ("openid",), claims=ClaimsRequest(userinfo=("address",))) == "code"


@pytest.mark.spec("RFC 8252", "8.6")
def test_an_app_on_this_device_always_shows_a_page_before_it_gets_a_session() -> None:
    everything = ("openid", "offline_access")

    assert step(SESSION, everything, client=NATIVE) == "native page"
    assert step(SESSION, everything, client=NATIVE, prompt="none") == "interaction_required"
    assert step(SESSION, everything, client=NATIVE, is_approved=True) == "code"
    # A claimed https address is proven by its host; a client with a secret by that.
    assert step(SESSION, everything, client=NATIVE, redirect_uri="https://app.example/cb") == "code"


# ── Over HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prompt_login_asks_again_and_gives_a_later_auth_time(
    rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    before = rp.read(rp.sign_in(signed_in).id_token)
    clock.advance(seconds=30)

    response = signed_in.get(rp.address(prompt="login"))

    assert response.location.startswith("/login?request=")
    form = signed_in.page(response.location).form("/login")
    clock.advance(seconds=5)
    answered = signed_in.submit(form, button="login-submit", username="ada", password="correct horse battery staple")
    after = rp.read(rp.redeem(rp.provider.walk(signed_in, answered).code).id_token)
    assert after["auth_time"] == before["auth_time"] + 60 + 35
    assert after["sid"] == before["sid"]


def test_max_age_asks_again_only_when_it_is_exceeded(rp: RelyingParty, signed_in: Visitor, clock: HandClock) -> None:
    rp.sign_in(signed_in)
    clock.advance(seconds=40)

    young = signed_in.get(rp.address(max_age="100"))
    clock.advance(seconds=1)
    old = signed_in.get(rp.address(max_age="100"))
    silent = signed_in.get(rp.address(max_age="100", prompt="none"))

    assert "code=" in young.location
    assert old.location.startswith("/login?")
    assert "error=login_required" in silent.location


def test_an_id_token_hint_silently_confirms_the_same_person_and_no_other(
    provider: Provider, rp: RelyingParty, signed_in: Visitor, clock: HandClock
) -> None:
    hint = rp.sign_in(signed_in).id_token
    provider.person("bob")
    bobs = provider.visitor()
    rp.authorize(bobs, name="bob")
    clock.advance(days=1, seconds=-90)  # the hint has expired long since: that is allowed

    assert "code=" in signed_in.get(rp.address(prompt="none", id_token_hint=hint)).location
    assert "error=login_required" in bobs.get(rp.address(prompt="none", id_token_hint=hint)).location
    assert bobs.get(rp.address(id_token_hint=hint)).location.startswith("/login?")


def test_a_hint_of_another_client_or_an_access_token_is_no_hint(
    provider: Provider, rp: RelyingParty, signed_in: Visitor
) -> None:
    own, other = rp.sign_in(signed_in), provider.relying_party(name="Other").sign_in(signed_in)

    assert "error=invalid_request" in signed_in.get(rp.address(prompt="none", id_token_hint=other.id_token)).location
    assert "error=invalid_request" in signed_in.get(rp.address(prompt="none", id_token_hint=own.access_token)).location
    assert "code=" in signed_in.get(rp.address(prompt="none", id_token_hint=own.id_token)).location


def test_a_tool_on_this_computer_shows_its_page_every_time(cli_app: RelyingParty, signed_in: Visitor) -> None:
    first = cli_app.sign_in(signed_in, scope="openid offline_access")
    assert first.refresh_token

    again = signed_in.get(cli_app.address(scope="openid offline_access"))
    silent = signed_in.get(cli_app.address(scope="openid offline_access", prompt="none"))

    assert again.location.startswith("/consent?")
    assert "on this computer" in signed_in.page(again.location).text
    assert "error=interaction_required" in silent.location


def consent_form(rp: RelyingParty, visitor: Visitor) -> Any:
    return signed_page(rp, visitor).form("/consent")


def signed_page(rp: RelyingParty, visitor: Visitor) -> Page:
    return visitor.page(visitor.get(rp.address()).location)


def test_a_consent_page_counts_once_however_many_tabs_show_it(
    rp: RelyingParty, signed_in: Visitor, provider: Provider
) -> None:
    location = signed_in.get(rp.address()).location
    one, two = signed_in.page(location).form("/consent"), signed_in.page(location).form("/consent")

    allowed = signed_in.submit(one, button="consent-allow")
    again = signed_in.submit(two, button="consent-allow")
    denied = signed_in.submit(two, button="consent-deny")

    assert "code=" in allowed.location
    for late in (again, denied):
        assert late.status_code == 400
        assert not late.location
    assert len(provider.heart.all(Consent)) == 1


def test_two_requests_in_two_tabs_are_answered_apart(rp: RelyingParty, signed_in: Visitor) -> None:
    one = signed_in.page(signed_in.get(rp.address(state="one")).location).form("/consent")
    two = signed_in.page(signed_in.get(rp.address(state="two")).location).form("/consent")

    assert "state=two" in signed_in.submit(two, button="consent-allow").location
    assert "state=one" in signed_in.submit(one, button="consent-deny").location


def test_nobody_answers_the_page_that_was_shown_to_someone_else(
    rp: RelyingParty, signed_in: Visitor, provider: Provider, clock: HandClock
) -> None:
    provider.person("bob")
    form = consent_form(rp, signed_in)
    clock.advance(seconds=1)
    assert signed_in.sign_in("bob", path="/login?switch=yes").status_code == 303
    fresh_token = signed_in.page("/login?switch=yes").form("/login").fields["csrf_token"]

    answered = signed_in.submit(form, button="consent-allow", csrf_token=fresh_token)

    assert answered.location.startswith("/oauth2/authorize?request=")
    assert provider.heart.all(Consent) == []
    page = signed_in.page(signed_in.get(answered.location).location)
    assert "bob@example.com" in page.text


def test_signing_out_everywhere_else_makes_an_open_page_ask_again(
    rp: RelyingParty, signed_in: Visitor, provider: Provider, ada: User
) -> None:
    form = consent_form(rp, signed_in)
    with provider.heart.database.transaction() as tx:
        tx.get(User, ada.id).epoch += 1  # type: ignore[union-attr]

    answered = signed_in.submit(form, button="consent-allow")

    assert answered.location.startswith("/oauth2/authorize?request=")
    assert provider.heart.all(Consent) == []


def test_an_ended_session_gets_no_code_from_an_open_page(
    rp: RelyingParty, signed_in: Visitor, provider: Provider, ada: User
) -> None:
    form = consent_form(rp, signed_in)
    provider.heart.end_everything(ada)

    answered = signed_in.submit(form, button="consent-allow")

    assert signed_in.get(answered.location).location.startswith("/login?request=")
    assert provider.heart.all(Consent) == []


def test_a_request_is_worth_nothing_in_another_browser(
    rp: RelyingParty, signed_in: Visitor, provider: Provider
) -> None:
    location = signed_in.get(rp.address()).location

    stranger = provider.visitor().get(location)

    assert stranger.status_code == 400
    assert "begun in another browser" in Page(stranger.text).text
    assert signed_in.get(location).status_code == 200


def test_a_request_that_waits_too_long_is_over(rp: RelyingParty, signed_in: Visitor, clock: HandClock) -> None:
    location = signed_in.get(rp.address()).location
    clock.advance(minutes=59)
    assert signed_in.get(location).status_code == 200

    clock.advance(minutes=1)

    assert signed_in.get(location).status_code == 400


def test_a_consent_needs_our_own_form(rp: RelyingParty, signed_in: Visitor, provider: Provider) -> None:
    form = consent_form(rp, signed_in)

    forged = signed_in.submit(form, button="consent-allow", csrf_token="forged")
    foreign = signed_in.submit(form, button="consent-allow", headers={"Origin": "https://evil.example"})
    undecided = signed_in.submit(form)

    for refused in (forged, foreign, undecided):
        assert refused.status_code == 400
        assert not refused.location
    assert provider.heart.all(Consent) == []
    assert "code=" in signed_in.submit(form, button="consent-allow").location


def test_a_withdrawn_consent_is_asked_for_again(
    rp: RelyingParty, signed_in: Visitor, provider: Provider, ada: User
) -> None:
    rp.sign_in(signed_in)
    with provider.heart.database.transaction() as tx:
        assert clients.withdraw_consent(tx, user_id=ada.id, client_id=rp.id, now=provider.heart.now)

    assert signed_in.get(rp.address()).location.startswith("/consent?")
    assert "error=consent_required" in signed_in.get(rp.address(prompt="none")).location


def test_what_the_client_lost_while_its_page_was_open_is_not_given(
    rp: RelyingParty, signed_in: Visitor, provider: Provider
) -> None:
    form = consent_form(rp, signed_in)
    provider.heart.change(rp.client, disabled_at=provider.heart.now)

    refused = signed_in.submit(form, button="consent-allow")

    assert refused.status_code == 400
    assert not refused.location
    provider.heart.change(rp.client, disabled_at=None)
    assert "code=" in signed_in.submit(form, button="consent-allow").location
