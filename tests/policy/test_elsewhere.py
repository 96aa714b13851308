"""What else goes by the policy of today: the sign-in page, its cookie, and how long retired keys are kept."""

from datetime import timedelta

from idp.keys import ensure_keys, rotate
from idp.retention import KINDS, purge_batch
from tests.support.heart import Heart
from tests.support.pages import PASSWORD, Site


def test_the_sign_in_page_offers_to_stay_signed_in_for_as_long_as_that_is_today(site: Site) -> None:
    assert "Keep me signed in on this browser for 28 days" in site.visitor().page("/login").text

    site.heart.decide("keep_signed_in_idle_lifetime", "3d")

    assert "Keep me signed in on this browser for 3 days" in site.visitor().page("/login").text


def test_where_nobody_may_stay_signed_in_it_is_neither_offered_nor_given(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()
    page = browser.page("/login")
    assert "Keep me signed in" in page.text
    site.heart.decide("keep_signed_in", "off")

    answer = browser.submit(
        page.form("/login"), button="login-submit", username="ada", password=PASSWORD, keep_signed_in="yes"
    )

    assert "Keep me signed in" not in site.visitor().page("/login").text
    cookies = answer.headers.getlist("Set-Cookie")
    assert any(cookie.startswith("idp_session=") and "Max-Age" not in cookie for cookie in cookies)


def test_the_cookie_of_a_kept_session_lasts_as_long_as_the_session_may_live_today(site: Site) -> None:
    site.person("ada")
    site.heart.decide("browser_absolute_lifetime", "120d")

    cookies = site.visitor().sign_in("ada", keep=True).headers.getlist("Set-Cookie")

    longest = int(timedelta(days=120).total_seconds())
    assert any(cookie.startswith("idp_session=") and f"Max-Age={longest}" in cookie for cookie in cookies)


def test_a_retired_key_is_kept_for_as_long_as_a_session_may_live_today(heart: Heart) -> None:
    [keys] = [kind for kind in KINDS if kind.name == "signing_keys"]
    with heart.database.transaction() as tx:
        ensure_keys(tx, keyring=heart.keyring, now=heart.now)
        rotate(tx, algorithm="ES256", keyring=heart.keyring, now=heart.now, settings=heart.settings, immediately=True)
    heart.decide("app_absolute_lifetime", "500d")
    heart.clock.advance(days=400)

    with heart.database.transaction() as tx:
        assert keys.count(tx, heart.now, heart.settings) == 0
        assert purge_batch(tx, keys, settings=heart.settings, now=heart.now) == 0
    heart.decide("app_absolute_lifetime", None)
    with heart.database.transaction() as tx:
        assert purge_batch(tx, keys, settings=heart.settings, now=heart.now) == 1
