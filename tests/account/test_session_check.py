"""The small endpoint that open pages ask: one statement, no activity, and nothing for anybody else."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from idp.db.models import EndReason, Session
from idp.settings import SettingsError, load_settings
from tests.support.pages import Site


def test_a_signed_in_browser_hears_so_in_one_statement_and_it_counts_as_no_activity(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")
    site.heart.clock.advance(minutes=10)
    statements: list[str] = []
    event.listen(site.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))

    response = here.get("/account/session-check")

    assert response.get_json()["signed_in"] is True
    assert response.headers["Cache-Control"] == "no-store"
    assert len([text for text in statements if text.startswith(("SELECT", "UPDATE", "INSERT"))]) == 1
    [session] = site.heart.all(Session)
    assert session.last_active_at == site.heart.now - timedelta(minutes=10)


def test_a_page_and_its_check_name_the_same_sign_in_and_another_sign_in_another(site: Site) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")

    markers = {browser.get("/account/session-check").get_json()["session"] for browser in (here, there)}

    assert len(markers) == 2
    assert (
        f'data-signed-in="{here.get("/account/session-check").get_json()["session"]}"'
        in here.get("/account/activity").text
    )


def test_after_an_end_elsewhere_the_browser_hears_why_and_a_stranger_hears_nothing(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    [session] = site.heart.all(Session)
    site.heart.end(ada, session.id, reason=EndReason.ENDED_BY_ADMINISTRATOR)

    told = here.get("/account/session-check").get_json()

    assert told == {
        "signed_in": False,
        "reason": "You were signed out because an administrator ended your session.",
    }
    assert site.visitor().get("/account/session-check").get_json() == {"signed_in": False, "reason": None}


def test_signing_out_clears_what_the_browser_keeps_but_never_cookies_of_the_whole_domain(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")

    response = here.submit(here.page("/account/sessions").form("/logout"))

    assert response.headers["Clear-Site-Data"] == '"cache"'
    assert "Clear-Site-Data" not in here.get("/signed-out").headers


@pytest.mark.parametrize("kinds", ["cookies", "*", "cache,cookies", "cake"])
def test_what_would_reach_other_hosts_or_is_unknown_stops_the_start(kinds: str) -> None:
    with pytest.raises(SettingsError, match="IDP_CLEAR_SITE_DATA"):
        load_settings({"IDP_CLEAR_SITE_DATA": kinds}, secret="a secret for tests only, long enough to be taken")


def test_clearing_can_be_switched_off() -> None:
    settings = load_settings({"IDP_CLEAR_SITE_DATA": ""}, secret="a secret for tests only, long enough to be taken")

    assert settings.clear_site_data == ()
