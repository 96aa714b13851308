"""No identifier, secret or token that was known before a sign-in is worth anything after it."""

from idp.db.models import EndReason, LogoutDelivery, Session
from tests.support.pages import Page, Site


def test_a_sign_in_never_takes_up_a_planted_session_cookie(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()
    browser.client.set_cookie("idp_session", "0" * 26 + "." + "A" * 22)

    browser.sign_in("ada")

    assert not (browser.cookie("idp_session") or "").startswith("0" * 26)


def test_a_csrf_token_from_before_the_sign_in_is_refused_after_it(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()
    before = browser.page("/login").form("/login").fields["csrf_token"]
    browser.sign_in("ada")
    form = browser.page("/account/sessions/end-everywhere").forms[-1]

    refused = browser.submit(form, csrf_token=before)
    repaired = browser.submit(form)

    assert refused.status_code == 400
    assert "This page is no longer valid" in refused.text
    assert repaired.status_code == 303


def test_the_same_person_signing_in_again_keeps_the_session_with_a_new_secret(site: Site) -> None:
    site.person("ada")
    browser = site.signed_in("ada")
    before = browser.cookie("idp_session") or ""
    site.heart.clock.advance(minutes=5)

    browser.sign_in("ada", path="/login?switch=yes")
    after = browser.cookie("idp_session") or ""

    assert before.partition(".")[0] == after.partition(".")[0]
    assert before != after
    (session,) = site.heart.all(Session)
    assert session.auth_time == site.heart.now


def test_the_previous_secret_reads_for_half_a_minute_and_changes_nothing(site: Site) -> None:
    site.person("ada")
    browser, stale = site.signed_in("ada"), site.visitor()
    stale.client.set_cookie("idp_session", browser.cookie("idp_session") or "")
    form = stale.page("/account/sessions/end-everywhere").forms[-1]
    browser.sign_in("ada", path="/login?switch=yes")

    assert stale.get("/account/sessions").status_code == 200
    assert (stale.submit(form).location or "").startswith("/login")
    assert browser.get("/account/sessions").status_code == 200
    site.heart.clock.advance(seconds=31)
    assert stale.get("/account/sessions").status_code == 303


def test_another_person_signing_in_ends_the_old_session_and_tells_its_applications(site: Site) -> None:
    ada, _ = site.person("ada"), site.person("bob")
    client = site.heart.client(backchannel_logout_uri="https://app.example/logout")
    browser = site.signed_in("ada")
    (old,) = site.heart.all(Session)
    started = site.heart.sign_in(ada)
    site.heart.tokens_for(started, client)
    browser.client.set_cookie("idp_session", started.handle.reveal())

    browser.sign_in("bob", path="/login?switch=yes")

    ended = site.heart.session(started.session_id)
    assert ended.end_reason == EndReason.OTHER_PERSON_SIGNED_IN
    assert [delivery.client_id for delivery in site.heart.all(LogoutDelivery)] == [client.id]
    assert site.heart.session(old.id).ended_at is None
    assert "bob@example.com" in Page(browser.get("/account/sessions").text).text


def test_the_cookie_of_a_kept_session_lasts_and_that_of_another_goes_with_the_browser(site: Site) -> None:
    site.person("ada")

    kept = site.visitor().sign_in("ada", keep=True).headers.getlist("Set-Cookie")
    passing = site.visitor().sign_in("ada").headers.getlist("Set-Cookie")

    assert any(cookie.startswith("idp_session=") and "Max-Age=7776000" in cookie for cookie in kept)
    assert any(cookie.startswith("idp_session=") and "Max-Age" not in cookie for cookie in passing)
