"""Ending from the account page: exactly what is named, on the one path, and visibly."""

import pytest
from sqlalchemy import func

from idp.db.models import EndReason, LogoutEvent, Session, User
from idp.kit.opaque import Secret
from tests.support.pages import Page, Site, Visitor


def row_form(page: Page, session_id: str) -> object:
    return page.form(f"/account/sessions/{session_id}/end")


def end_row(browser: Visitor, session_id: str) -> object:
    return browser.submit(browser.page("/account/sessions").form(f"/account/sessions/{session_id}/end"))


def session_of(browser: Visitor) -> str:
    return (browser.cookie("idp_session") or "").partition(".")[0]


def test_a_browser_is_signed_out_by_its_row(site: Site) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")

    end_row(here, session_of(there))

    assert there.get("/account/sessions").status_code == 303
    page = here.page("/account/sessions")
    assert "Firefox 143 on Linux is signed out. See who was told" in page.text
    assert "You signed it out on the account page" in page.text
    assert site.heart.session(session_of(there)).end_reason == EndReason.ENDED_BY_PERSON
    assert "is signed out. See who" not in here.page("/account/sessions").text


def test_this_browser_has_no_end_button_in_its_row_but_a_sign_out(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")
    page = here.page("/account/sessions")

    assert [form.action for form in page.forms] == ["/logout"]
    assert "sign-out" in page.form("/logout").buttons
    token = page.form("/logout").fields["csrf_token"]
    answer = here._open(f"/account/sessions/{session_of(here)}/end", "POST", data={"csrf_token": token})
    assert answer.status_code == 303
    assert here.get("/account/sessions").status_code == 200


def test_a_session_of_another_person_stays_and_nothing_is_told_about_it(site: Site) -> None:
    site.person("ada")
    site.person("bob")
    here, theirs = site.signed_in("ada"), site.signed_in("bob")
    token = here.page("/account/sessions").form("/logout").fields["csrf_token"]

    answer = here._open(f"/account/sessions/{session_of(theirs)}/end", "POST", data={"csrf_token": token})
    unknown = here._open("/account/sessions/nonsense/end", "POST", data={"csrf_token": token})

    assert theirs.get("/account/sessions").status_code == 200
    assert (answer.status_code, answer.location) == (unknown.status_code, unknown.location)
    assert "It was signed out already." in here.page("/account/sessions").text
    assert here.get(f"/account/sessions/{session_of(theirs)}").status_code == 404


def test_ending_needs_a_form_of_ours(site: Site) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")

    refused = here._open(f"/account/sessions/{session_of(there)}/end", "POST")
    by_get = here.get(f"/account/sessions/{session_of(there)}/end")

    assert (refused.status_code, by_get.status_code) == (400, 405)
    assert there.get("/account/sessions").status_code == 200


def test_ending_needs_a_session_and_says_so_by_the_sign_in_page(site: Site) -> None:
    ada = site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")
    form = here.page("/account/sessions").form(f"/account/sessions/{session_of(there)}/end")
    site.heart.end(ada, session_of(here))

    answer = here.submit(form)

    assert answer.location == "/login?next=%2Faccount%2Fsessions"
    assert there.get("/account/sessions").status_code == 200


def test_ending_a_browser_offers_the_tools_that_it_approved(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    other = site.heart.sign_in(ada)
    client = site.heart.client(name="Drydock CLI")
    issued = site.heart.tokens_for(other, client, "openid offline_access")

    answer = end_row(here, other.session_id)

    assert answer.location == f"/account/sessions/{other.session_id}"  # type: ignore[attr-defined]
    page = here.page(f"/account/sessions/{other.session_id}")
    assert "It had approved 1 app or tool, still signed in" in page.text
    assert "session" not in page.form("/account/sessions/end-selected").fields
    suspicious = here.page(f"/account/sessions/{other.session_id}?suspicious=yes")
    form = suspicious.form("/account/sessions/end-selected")
    assert form.fields["session"] == issued.session_id
    here.submit(form)
    assert site.heart.session(issued.session_id or "").end_reason == EndReason.ENDED_BY_PERSON
    assert "1 app or tool is signed out." in here.page("/account/sessions").text


def test_ending_selected_tools_leaves_strangers_and_this_browser_alone(site: Site) -> None:
    site.person("ada")
    site.person("bob")
    here, theirs = site.signed_in("ada"), site.signed_in("bob")
    token = here.page("/account/sessions").form("/logout").fields["csrf_token"]

    here._open(
        "/account/sessions/end-selected",
        "POST",
        data={"csrf_token": token, "session": [session_of(theirs), session_of(here), "junk"]},
    )

    assert theirs.get("/account/sessions").status_code == 200
    assert "What you chose is not signed in any more." in here.page("/account/sessions").text


def test_the_question_names_counts_and_who_cannot_be_told(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    other = site.heart.sign_in(ada)
    site.heart.tokens_for(
        other, site.heart.client(name="Harbour Wiki", backchannel_logout_uri="https://app.example/out")
    )
    tool = site.heart.client(name="Drydock CLI")
    site.heart.tokens_for(other, tool, "openid offline_access")

    everywhere = here.page("/account/sessions/end-everywhere").text
    elsewhere = here.page("/account/sessions/end-others").text

    assert "browsers, with this one 2 app or command-line tool 1" in everywhere
    assert "browser 1 app or command-line tool 1" in elsewhere
    assert "Told at once Harbour Wiki" in everywhere
    assert "Cannot be told: Drydock CLI." in everywhere
    assert "within 5 minutes" in everywhere


def test_asking_ends_nothing(site: Site) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")

    here.page("/account/sessions/end-everywhere")
    here.page("/account/sessions/end-others")

    assert there.get("/account/sessions").status_code == 200


def test_sign_out_everywhere_ends_both_kinds_and_this_browser_and_shows_the_receipt(site: Site) -> None:
    ada = site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")
    tool = site.heart.client(name="Drydock CLI")
    issued = site.heart.tokens_for(site.heart.sign_in(ada), tool, "openid offline_access")

    answer = here.submit(here.page("/account/sessions/end-everywhere").forms[-1], button="confirm-end")

    assert answer.status_code == 303
    assert answer.location.startswith("/signed-out/")
    assert here.cookie("idp_session") is None
    assert site.heart.all(Session, Session.ended_at.is_(None)) == []
    assert there.get("/account/sessions").status_code == 303
    refreshed = site.heart.refresh(issued, tool)
    assert getattr(refreshed, "error", None) == "invalid_grant"
    (user,) = site.heart.all(User, User.id == ada.id)
    assert user.epoch == 1
    page = site.visitor()
    page.client.set_cookie("idp_session", there.cookie("idp_session") or "")
    assert "because “Sign out everywhere” was used" in page.page("/login").text


def test_sign_out_everywhere_else_keeps_this_browser_with_a_new_secret(site: Site) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")
    before = here.cookie("idp_session") or ""

    answer = here.submit(here.page("/account/sessions/end-others").forms[-1], button="confirm-end")
    after = here.cookie("idp_session") or ""

    assert answer.location == "/account/sessions"
    assert "1 browser is signed out." in here.page("/account/sessions").text
    assert there.get("/account/sessions").status_code == 303
    assert after.partition(".")[0] == before.partition(".")[0]
    assert after != before
    thief = site.visitor()
    thief.client.set_cookie("idp_session", before)
    assert thief.get("/account/sessions").status_code == 303


def test_a_kept_session_stays_kept_after_everywhere_else(site: Site) -> None:
    site.person("ada")
    here = site.visitor()
    here.sign_in("ada", keep=True)

    answer = here.submit(here.page("/account/sessions/end-others").forms[-1])

    assert any("idp_session=" in cookie and "Max-Age=" in cookie for cookie in answer.headers.getlist("Set-Cookie"))
    assert "Nothing else was signed in." in here.page("/account/sessions").text


def test_when_this_browser_was_signed_out_meanwhile_everywhere_else_still_stands(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from idp.account import ending

    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")
    form = here.page("/account/sessions/end-others").forms[-1]

    def too_late(*_args: object, **_given: object) -> Secret:
        raise LookupError("no live session to renew")

    monkeypatch.setattr(ending, "renew_secret", too_late)
    answer = here.submit(form)

    assert answer.status_code == 303
    assert site.heart.session(session_of(there)).ended_at is not None


def test_every_end_gives_exactly_one_event(site: Site) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")
    form = here.page("/account/sessions").form(f"/account/sessions/{session_of(there)}/end")

    here.submit(form)
    here.submit(form)

    with site.heart.database.reading() as tx:
        assert tx.scalar(func.count(LogoutEvent.id).select()) == 1


def test_the_history_page_of_an_ended_session_shows_who_was_told_for_90_days(site: Site) -> None:
    ada = site.person("ada")
    here = site.visitor()
    here.sign_in("ada", keep=True)
    other = site.heart.sign_in(ada)
    site.heart.tokens_for(
        other, site.heart.client(name="Harbour Wiki", backchannel_logout_uri="https://app.example/out")
    )
    site.heart.end(ada, other.session_id)
    path = f"/account/sessions/{other.session_id}"

    page = here.page(path)
    assert "Harbour Wiki Being told" in page.text
    assert "stops at the latest at 09:35:00 UTC" in page.text

    site.heart.clock.advance(days=20)
    here.get("/account/sessions")
    assert "Nothing of it works any more." in here.page(path).text


def test_the_history_of_another_person_is_not_found(site: Site) -> None:
    ada = site.person("ada")
    site.person("bob")
    here, theirs = site.signed_in("ada"), site.signed_in("bob")
    ended = site.heart.sign_in(ada)
    site.heart.end(ada, ended.session_id)
    path = f"/account/sessions/{ended.session_id}"

    assert here.get(path).status_code == 200
    assert theirs.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/account/sessions/x", "/account/sessions/" + "0" * 26, "/account/sessions/%00"])
def test_a_history_page_that_never_was_is_not_found(site: Site, path: str) -> None:
    site.person("ada")

    assert site.signed_in("ada").get(path).status_code in {400, 404}
