"""Signing in: the right pair, the wrong one, what is told, and what a browser holds afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from idp import users
from idp.db.models import AuditEvent, EndReason, Session, User
from idp.kit.opaque import Secret
from tests.support.pages import PASSWORD, Page, Site


def test_the_right_pair_opens_a_session_and_the_account(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()

    answer = browser.sign_in("ada")

    assert answer.status_code == 303
    assert answer.location == "/account"
    assert browser.get("/account/sessions").status_code == 200


def test_the_sign_in_page_is_titled_so_and_has_plain_inputs(site: Site) -> None:
    answer = site.visitor().get("/login")
    page = Page(answer.text)

    assert "<title>Sign in</title>" in answer.text
    assert {"username", "password"} <= page.form("/login").fields.keys()
    assert "login-submit" in page.form("/login").buttons
    assert "Keep me signed in on this browser for 28 days" in page.text


def test_the_e_mail_address_does_as_well_as_the_username_in_any_case(site: Site) -> None:
    site.person("ada")

    answer = site.visitor().sign_in("  ADA@Example.com ")

    assert answer.status_code == 303


@pytest.mark.parametrize("name", ["ada", "nobody", "nobody@example.com"])
def test_a_wrong_password_and_an_unknown_account_read_the_same(site: Site, name: str) -> None:
    site.person("ada")
    browser = site.visitor()

    answer = browser.sign_in(name, "wrong")

    assert answer.status_code == 403
    assert "That name and password do not belong together." in Page(answer.text).text
    assert browser.cookie("idp_session") is None


def test_an_account_without_a_password_reads_the_same_too(site: Site) -> None:
    site.person("ada", password=None)

    answer = site.visitor().sign_in("ada", "")
    other = site.visitor().sign_in("ada", "anything")

    assert answer.status_code == 400
    assert other.status_code == 403


def test_an_unknown_account_costs_a_whole_password_hash(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    from idp.users import passwords

    hasher = passwords._HASHER

    class Counting:
        hash = staticmethod(hasher.hash)

        def verify(self, stored: str, password: bytes) -> bool:
            checked.append(password)
            return hasher.verify(stored, password)

    monkeypatch.setattr(passwords, "_HASHER", Counting())

    site.visitor().sign_in("nobody", "wrong")

    assert len(checked) == 1


def test_a_refused_form_keeps_the_name_and_never_the_password(site: Site) -> None:
    site.person("ada")

    answer = site.visitor().sign_in("ada", "the wrong one", keep=True)
    form = Page(answer.text).form("/login")

    assert form.fields["username"] == "ada"
    assert form.fields["keep_signed_in"] == "yes"
    assert "the wrong one" not in answer.text


def test_a_closed_account_is_told_only_to_who_knows_its_password(site: Site) -> None:
    ada = site.person("ada")
    site.heart.change(ada, disabled_at=site.heart.now)

    right = site.visitor().sign_in("ada")
    wrong = site.visitor().sign_in("ada", "wrong")

    assert (right.status_code, "This account is closed." in right.text) == (403, True)
    assert (wrong.status_code, "This account is closed." in wrong.text) == (403, False)


def test_signing_out_everywhere_while_the_password_is_checked_refuses_the_sign_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = site.person("ada")
    from idp.login import password

    class Overtaken:
        def verify(self, stored: str | None, given: Secret) -> bool:
            with site.heart.database.transaction() as tx:
                tx.execute(update(User).where(User.id == ada.id).values(epoch=User.epoch + 1))
            return bool(users.checks_for(4).verify(stored, given))

    monkeypatch.setattr(password, "checks_for", lambda limit: Overtaken())

    answer = site.visitor().sign_in("ada")

    assert answer.status_code == 403
    assert "signed out everywhere while you signed in" in answer.text
    assert site.heart.all(Session) == []


def test_too_many_guesses_at_one_person_are_refused_even_when_right(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="http://localhost", guesses_per_person=3)
    site.person("ada")
    for name in ("ada", "ADA", "ada@example.com"):
        site.visitor(address=f"192.0.2.{len(name)}").sign_in(name, "wrong")

    answer = site.visitor(address="198.51.100.1").sign_in("ada")

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "There were too many attempts." in answer.text


def test_the_budget_of_guesses_is_whole_again_after_its_window(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="http://localhost", guesses_per_person=1)
    site.person("ada")
    site.visitor().sign_in("ada", "wrong")
    assert site.visitor().sign_in("ada").status_code == 429

    site.heart.clock.advance(minutes=15, seconds=1)

    assert site.visitor().sign_in("ada").status_code == 303


def test_the_right_password_gives_the_person_a_whole_budget_again(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="http://localhost", guesses_per_person=2)
    site.person("ada")

    answers = [
        site.visitor().sign_in("ada", password).status_code for password in ("wrong", PASSWORD, "wrong", PASSWORD)
    ]

    assert answers == [403, 303, 403, 303]


def test_names_without_an_account_have_the_same_budget(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="http://localhost", guesses_per_person=1)

    answers = [site.visitor(address=f"192.0.2.{n}").sign_in("nobody", "wrong").status_code for n in range(2)]

    assert answers == [403, 429]


def test_one_address_cannot_guess_at_everybody(open_site: Callable[..., Site]) -> None:
    site = open_site(issuer="http://localhost", guesses_per_address=2)

    answers = [site.visitor().sign_in(f"name{n}", "wrong").status_code for n in range(3)]

    assert answers == [403, 403, 429]
    assert site.visitor(address="198.51.100.9").sign_in("name9", "wrong").status_code == 403


@pytest.mark.parametrize("field", ["username", "password"])
def test_a_form_with_an_empty_field_is_asked_for_again_and_costs_no_guess(
    open_site: Callable[..., Site], field: str
) -> None:
    site = open_site(issuer="http://localhost", guesses_per_person=1)
    site.person("ada")
    browser = site.visitor()
    form = browser.page("/login").form("/login")

    filled: dict[str, Any] = {"username": "ada", "password": PASSWORD, field: ""}
    answer = browser.submit(form, **filled)

    assert answer.status_code == 400
    assert "Enter your e-mail address or username, and your password." in answer.text
    assert browser.sign_in("ada").status_code == 303


def test_a_field_sent_twice_is_refused(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()
    form = browser.page("/login").form("/login")

    answer = browser.submit(form, username=["ada", "bob"], password=PASSWORD)

    assert answer.status_code == 400
    assert browser.submit(form, username="ada", password=PASSWORD).status_code == 303


@pytest.mark.parametrize("value", ["a\x00b", "\ufffd", "x" * 70_000])
def test_names_that_no_database_takes_are_refused_as_bad_requests(site: Site, value: str) -> None:
    browser = site.visitor()
    form = browser.page("/login").form("/login")

    answer = browser.submit(form, username=value, password="x")

    assert answer.status_code in {400, 413}


def test_the_sign_in_and_its_refusal_are_in_the_audit_trail(site: Site) -> None:
    ada = site.person("ada")
    site.visitor().sign_in("ada", "wrong")
    site.visitor().sign_in("ada")

    kinds = [event.kind for event in site.heart.all(AuditEvent, AuditEvent.user_id == ada.id)]

    assert sorted(kinds) == ["sign_in", "sign_in_refused", "user_created"]
    (refused,) = site.heart.all(AuditEvent, AuditEvent.kind == "sign_in_refused")
    assert refused.details == {"method": "pwd", "agent": "Firefox 143", "os": "Linux"}


def test_the_session_remembers_the_browser_and_the_address(site: Site) -> None:
    site.person("ada")

    site.signed_in("ada", address="203.0.113.8")
    (session,) = site.heart.all(Session)

    assert (session.agent_name, session.os_name, session.ip_address) == ("Firefox 143", "Linux", "203.0.113.8")
    assert session.amr == ["pwd"]


def test_the_next_sign_in_page_says_why_one_was_signed_out(site: Site) -> None:
    ada = site.person("ada")
    browser = site.signed_in("ada")
    (session,) = site.heart.all(Session)
    site.heart.end(ada, session.id, reason=EndReason.ENDED_BY_ADMINISTRATOR)

    page = browser.page("/login")

    assert "You were signed out because an administrator ended your session." in page.text
    assert "You were signed out" not in site.visitor().page("/login").text


def test_the_reason_is_told_only_to_the_browser_that_held_the_session(site: Site) -> None:
    ada = site.person("ada")
    browser, guesser = site.signed_in("ada"), site.visitor()
    (session,) = site.heart.all(Session)
    site.heart.end(ada, session.id, reason=EndReason.ENDED_BY_ADMINISTRATOR)

    guesser.client.set_cookie("idp_session", f"{session.id}.{'A' * 22}")

    assert "You were signed out" not in guesser.page("/login").text
    assert "You were signed out" in browser.page("/login").text


def test_an_idle_session_is_dead_and_the_page_says_so(site: Site) -> None:
    site.person("ada")
    browser = site.signed_in("ada")

    site.heart.clock.advance(hours=24, seconds=1)

    assert browser.get("/account/sessions").status_code == 303
    assert "because this browser was not used for 24 hours" in browser.page("/login").text


def test_keep_me_signed_in_outlives_the_idle_day(site: Site) -> None:
    site.person("ada")
    browser = site.visitor()
    browser.sign_in("ada", keep=True)

    site.heart.clock.advance(days=27)

    assert browser.get("/account/sessions").status_code == 200
