"""Ending by a choice: ticked rows, branches, what lies unused, one application. Each is asked first, and exact."""

from types import SimpleNamespace
from typing import Any

import pytest

from idp.db.models import EndReason, LogoutDelivery, SessionClient, User
from idp.kit.identifiers import new_identifier
from tests.support.pages import Page, Site, Visitor

OFFLINE = "openid offline_access"


def session_of(browser: Visitor) -> str:
    return (browser.cookie("idp_session") or "").partition(".")[0]


def tool_of(site: Site, person: User, *, name: str = "Drydock CLI", browser: Any = None) -> str:
    """An app session, approved in a new browser unless one is given."""
    issued = site.heart.tokens_for(browser or site.heart.sign_in(person), site.heart.client(name=name), OFFLINE)
    return issued.session_id or ""


def is_over(site: Site, *ids: str) -> list[bool]:
    return [site.heart.session(one).ended_at is not None for one in ids]


def token_of(browser: Visitor) -> str:
    return browser.page("/account/sessions").form("/logout").fields["csrf_token"]


def confirm(browser: Visitor, page: Page, **fields: Any) -> Any:
    return browser.submit(page.forms[-1], button="confirm-end", **fields)


# ── ticked rows ──


def test_ticked_rows_are_named_and_counted_before_they_end_and_nothing_else_ends(site: Site) -> None:
    ada = site.person("ada")
    here, there, other = site.signed_in("ada"), site.signed_in("ada"), site.signed_in("ada")
    tool = tool_of(site, ada)
    answer = here.get("/account/sessions")
    assert f'value="{session_of(there)}" form="choose"' in answer.text
    assert f'value="{session_of(here)}" form="choose"' not in answer.text

    page = here.page(f"/account/sessions/end-selected?session={session_of(there)}&session={tool}")

    assert "browser 1 app or command-line tool 1 What is signed out Firefox 143 on Linux signed in" in page.text
    assert "UTC Drydock CLI signed in" in page.text
    assert "Cannot be told: Drydock CLI." in page.text
    assert is_over(site, session_of(there), tool) == [False, False]
    confirm(here, page, session=[session_of(there), tool])  # the page's form has a field for each
    assert is_over(site, session_of(there), tool) == [True, True]
    assert is_over(site, session_of(here), session_of(other)) == [False, False]
    assert "1 browser and 1 app or tool are signed out." in here.page("/account/sessions").text


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("", "Tick what you want to sign out, and choose again."),
        ("session=junk", "Tick what you want to sign out, and choose again."),
        ("session={own}&session=junk", "What you chose is not signed in any more."),
    ],
)
def test_choosing_nothing_asks_nothing_and_says_what_to_do(site: Site, chosen: str, said: str) -> None:
    site.person("ada")
    here = site.signed_in("ada")

    answer = here.get(f"/account/sessions/end-selected?{chosen.format(own=session_of(here))}")

    assert answer.location == "/account/sessions"
    assert said in here.page("/account/sessions").text


def test_what_this_browser_approved_is_asked_about_by_that_name_and_can_only_end_whole(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    tool = tool_of(site, ada, browser=SimpleNamespace(session_id=session_of(here)))

    page = here.page(f"/account/sessions/end-selected?session={session_of(here)}&with_tools=yes")

    assert "Sign out what this browser approved?" in page.text
    assert "Keep it signed in" not in page.text  # nothing would be left to ask about
    confirm(here, page)
    assert is_over(site, session_of(here), tool) == [False, True]


def test_a_choice_of_strangers_and_of_this_browser_ends_nothing(site: Site) -> None:
    site.person("ada")
    bob = site.person("bob")
    here, theirs = site.signed_in("ada"), site.signed_in("bob")
    tool = tool_of(site, bob)
    data = {"csrf_token": token_of(here), "session": [session_of(theirs), tool, session_of(here)], "with_tools": "yes"}

    here._open("/account/sessions/end-selected", "POST", data=data)

    assert is_over(site, session_of(theirs), tool, session_of(here)) == [False, False, False]
    question = here.get(f"/account/sessions/end-selected?session={session_of(theirs)}&with_tools=yes")
    assert question.location == "/account/sessions"


@pytest.mark.parametrize("path", ["end-selected", "end-unused"])
def test_a_choice_needs_a_form_of_ours(site: Site, path: str) -> None:
    site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")

    refused = here._open(f"/account/sessions/{path}", "POST", data={"session": session_of(there)})

    assert refused.status_code == 400
    assert is_over(site, session_of(there)) == [False]


def test_more_than_a_hundred_ticks_are_refused(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")
    query = "&".join(f"session={new_identifier(0, site.heart.now)}" for _ in range(101))

    assert here.get(f"/account/sessions/end-selected?{query}").status_code == 400


# ── branches ──


def test_a_browser_says_how_many_tools_it_approved_and_ends_with_all_of_them(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    parent = site.heart.sign_in(ada)
    tools = [tool_of(site, ada, browser=parent), tool_of(site, ada, name="Other", browser=parent)]
    alone = tool_of(site, ada)
    listed = here.page("/account/sessions")
    assert "Approved 2 apps and tools · Sign out with them" in listed.text

    page = here.page(f"/account/sessions/end-selected?session={parent.session_id}&with_tools=yes")

    assert "browser 1 apps and command-line tools 2" in page.text
    assert "With 2 apps and tools approved there. Keep them signed in" in page.text
    confirm(here, page)
    assert is_over(site, parent.session_id, *tools) == [True, True, True]
    assert is_over(site, alone) == [False]


def test_a_browser_chosen_without_its_tools_leaves_them_and_the_question_says_so(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    parent = site.heart.sign_in(ada)
    tool = tool_of(site, ada, browser=parent)

    page = here.page(f"/account/sessions/end-selected?session={parent.session_id}")

    assert "1 app or tool approved there stays signed in. Sign it out too" in page.text
    confirm(here, page)
    assert is_over(site, parent.session_id, tool) == [True, False]
    assert "Approved in Firefox 145 on Linux, which is signed out" in here.page("/account/sessions").text


def test_the_branch_of_this_browser_ends_its_tools_and_not_itself(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    tool = tool_of(site, ada)
    site.heart.change(site.heart.session(tool), parent_id=session_of(here))
    assert "Approved 1 app or tool · Sign it out" in here.page("/account/sessions").text

    confirm(here, here.page(f"/account/sessions/end-selected?session={session_of(here)}&with_tools=yes"))

    assert is_over(site, session_of(here), tool) == [False, True]


# ── unused ──


def test_what_lies_unused_ends_and_what_was_refreshed_or_visited_since_stays(site: Site) -> None:
    ada = site.person("ada")
    client = site.heart.client(name="Busy tool")
    parent = site.heart.sign_in(ada, keep_signed_in=True)
    busy = site.heart.tokens_for(parent, client, OFFLINE)
    idle = tool_of(site, ada, browser=parent)
    site.heart.clock.advance(days=8)
    site.heart.refresh(busy, client)
    here = site.signed_in("ada")

    page = here.page("/account/sessions/end-unused?days=7")

    assert "browser 1 app or command-line tool 1" in page.text
    assert "Drydock CLI" in page.text
    assert "Busy tool" not in page.text
    confirm(here, page)
    assert is_over(site, idle, parent.session_id) == [True, True]
    assert "1 browser and 1 app or tool are signed out." in here.page("/account/sessions").text
    assert is_over(site, busy.session_id or "", session_of(here)) == [False, False]


def test_a_refresh_counts_as_use_although_it_did_not_touch_the_session(site: Site) -> None:
    ada = site.person("ada")
    client = site.heart.client()
    tool = site.heart.tokens_for(site.heart.sign_in(ada), client, OFFLINE)
    site.heart.clock.advance(minutes=30)  # the session's own row is touched at most once an hour
    site.heart.refresh(tool, client)
    site.heart.clock.advance(days=7, minutes=-20)
    here = site.signed_in("ada")

    assert "was used within that time" in here.page("/account/sessions/end-unused?days=7").text
    site.heart.clock.advance(minutes=20)
    assert "app or command-line tool 1" in here.page("/account/sessions/end-unused?days=7").text


def test_a_tool_that_is_used_between_question_and_answer_stays(site: Site) -> None:
    ada = site.person("ada")
    client = site.heart.client()
    tool = site.heart.tokens_for(site.heart.sign_in(ada), client, OFFLINE)
    site.heart.clock.advance(days=8)
    here = site.signed_in("ada")
    page = here.page("/account/sessions/end-unused?days=7")
    site.heart.refresh(tool, client)

    confirm(here, page)

    assert is_over(site, tool.session_id or "") == [False]
    assert "Everything was used within 7 days." in here.page("/account/sessions").text


@pytest.mark.parametrize("days", ["", "1", "x", "-7", "9" * 50])
def test_days_that_are_not_offered_mean_thirty(site: Site, days: str) -> None:
    site.person("ada")
    here = site.signed_in("ada")

    page = here.page(f"/account/sessions/end-unused?days={days}")

    assert "not used for 30 days?" in page.text
    assert "Everything else that is signed in was used within that time." in page.text


@pytest.mark.parametrize("days", ["", "1", "-7", "030", "9" * 50])
def test_an_answer_about_days_that_no_question_offered_ends_nothing(site: Site, days: str) -> None:
    ada = site.person("ada")
    tool = tool_of(site, ada)
    site.heart.clock.advance(days=29)
    here = site.signed_in("ada")
    page = here.page("/account/sessions/end-unused?days=7")

    answer = confirm(here, page, days=days)

    assert answer.status_code == 400
    assert is_over(site, tool) == [False]


# ── everything but apps ──


@pytest.mark.parametrize("everywhere", [True, False])
def test_apps_can_be_kept_while_browsers_end(site: Site, everywhere: bool) -> None:
    ada = site.person("ada")
    here, there = site.signed_in("ada"), site.signed_in("ada")
    tool = tool_of(site, ada)
    path = f"/account/sessions/{'end-everywhere' if everywhere else 'end-others'}"
    question = here.page(path)

    page = here.page(question.links["Keep my apps and command-line tools signed in"])
    assert "apps and command-line tools 0" in page.text
    assert "Drydock CLI" not in page.text
    confirm(here, page)

    assert is_over(site, session_of(there), tool) == [True, False]
    assert (here.get("/account/sessions").status_code == 200) is not everywhere
    assert site.heart.session(session_of(there)).end_reason == EndReason.SIGNED_OUT_BROWSERS


# ── one application ──


def test_only_one_application_is_signed_out_in_one_browser_and_told(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    other, third = site.heart.sign_in(ada), site.heart.sign_in(ada)
    wiki = site.heart.client(name="Wiki", backchannel_logout_uri="https://wiki.example/out")
    shop = site.heart.client(name="Shop")
    tokens = site.heart.tokens_for(other, wiki)
    for browser, client in ((other, shop), (third, wiki)):
        site.heart.tokens_for(browser, client)
    path = f"/account/sessions/{other.session_id}"
    page = here.page(path)
    assert "Used for 2 Shop" in page.text

    form = next(form for form in page.forms if form.fields.get("client_id") == wiki.id)
    answer = here.submit(form)

    assert answer.location == path
    assert "Wiki is signed out there." in here.page(path).text
    live = site.heart.all(SessionClient, SessionClient.ended_at.is_(None))
    assert sorted((row.session_id, row.client_id) for row in live) == sorted(
        [(other.session_id, shop.id), (third.session_id, wiki.id)]
    )
    assert is_over(site, other.session_id) == [False]
    assert getattr(site.heart.refresh(tokens, wiki), "error", None) == "invalid_grant"
    (delivery,) = site.heart.all(LogoutDelivery)
    assert delivery.client_id == wiki.id


def test_only_one_application_is_signed_out_everywhere_and_keeps_its_consent(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    other, third = site.heart.sign_in(ada), site.heart.sign_in(ada)
    wiki, shop = site.heart.client(name="Wiki"), site.heart.client(name="Shop")
    site.heart.tokens_for(other, wiki)
    app = site.heart.tokens_for(third, wiki, OFFLINE)
    site.heart.tokens_for(third, shop)

    page = here.page(f"/account/applications/end?client_id={wiki.id}")

    assert "Sign out of Wiki everywhere?" in page.text
    assert "browser that uses it, and stays signed in 1 app or command-line tool 1" in page.text
    confirm(here, page)
    assert [row.client_id for row in site.heart.all(SessionClient, SessionClient.ended_at.is_(None))] == [shop.id]
    assert is_over(site, other.session_id, third.session_id, app.session_id or "") == [False, False, True]


@pytest.mark.parametrize("client_id", ["nobody", "", "\N{SNOWMAN}"])
def test_an_application_that_has_nothing_of_this_person_is_not_named(site: Site, client_id: str) -> None:
    site.person("ada")
    bob = site.person("bob")
    wiki = site.heart.client(name="Secret wiki")
    site.heart.tokens_for(site.heart.sign_in(bob), wiki)
    here = site.signed_in("ada")

    answers = [here.get(f"/account/applications/end?client_id={one}") for one in (client_id, wiki.id)]

    assert [answer.location for answer in answers] == ["/account/sessions", "/account/sessions"]
    assert "Secret wiki" not in here.page("/account/sessions").text


def test_the_application_in_a_session_of_another_person_stays(site: Site) -> None:
    site.person("ada")
    bob = site.person("bob")
    theirs, wiki = site.heart.sign_in(bob), site.heart.client()
    site.heart.tokens_for(theirs, wiki)
    here = site.signed_in("ada")

    path = f"/account/sessions/{theirs.session_id}"
    here._open(f"{path}/end-application", "POST", data={"csrf_token": token_of(here), "client_id": wiki.id})

    assert len(site.heart.all(SessionClient, SessionClient.ended_at.is_(None))) == 1
    assert here.get(path).status_code == 404
