"""Changing the password on the account page: what it needs, what it ends, who is told, and what it refuses."""

from typing import Any

import pytest

from idp.account import password
from idp.db.models import AuditEvent, EndReason, MailMessage, Session, User
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import PASSWORD, Visitor

NEW = "a river runs through the new password"
PATH = "/account/password"


def change(browser: Visitor, current: str = PASSWORD, new: str = NEW, again: str | None = None, **more: Any) -> Any:
    form = browser.page(PATH).form(PATH)
    given: Any = {"current_password": current, "new_password": new, "new_again": new if again is None else again}
    return browser.submit(form, **given, **more)


def live(provider: Provider) -> list[Any]:
    return provider.heart.all(Session, Session.ended_at.is_(None))


def test_the_new_password_counts_and_every_other_sign_in_ends(
    provider: Provider, signed_in: Visitor, cli_app: RelyingParty, ada: User
) -> None:
    other = provider.visitor()
    other.sign_in("ada")
    tool = cli_app.sign_in(other, scope="openid offline_access")
    before = signed_in.cookie("idp_session")

    done = change(signed_in)

    assert done.status_code == 303
    said = signed_in.page("/account/sessions").text
    assert "Your password is changed. 1 browser and 1 app or tool are signed out." in said
    assert signed_in.cookie("idp_session") != before, "a copy of the cookie would go on"
    assert other.get("/account/sessions").status_code == 303
    assert cli_app.refresh(tool).error == "invalid_grant"
    assert len(live(provider)) == 1
    reasons = {row.end_reason for row in provider.heart.all(Session, Session.ended_at.is_not(None))}
    assert reasons == {EndReason.PASSWORD_CHANGED}
    assert provider.visitor().sign_in("ada").status_code == 403
    assert provider.visitor().sign_in("ada", NEW).status_code == 303
    (event,) = provider.heart.all(AuditEvent, AuditEvent.kind == "password_set")
    assert (event.user_id, event.actor) == (ada.id, "person")


def test_apps_and_tools_may_stay(provider: Provider, signed_in: Visitor, cli_app: RelyingParty) -> None:
    tool = cli_app.sign_in(signed_in, scope="openid offline_access")

    assert change(signed_in, keep_apps="yes").status_code == 303

    assert cli_app.refresh(tool).status == 200


def test_the_person_gets_a_mail_without_any_secret(open_provider: Any, clock: HandClock) -> None:
    provider = open_provider(smtp_host="mail.example.com")
    provider.person("ada")
    browser = provider.visitor()
    browser.sign_in("ada")

    change(browser)

    (letter,) = provider.heart.all(MailMessage)
    assert (letter.subject, letter.recipient) == ("Your password was changed", "ada@example.com")
    assert NEW not in letter.body
    assert PASSWORD not in letter.body


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        ({"current": "not it at all"}, 403, "The current password is not right."),
        ({"again": "another one entirely"}, 400, "its repetition are not the same"),
        ({"new": "short"}, 400, "at least 8 characters"),
        ({"new": PASSWORD}, 400, "Choose another"),
        ({"new": ""}, 400, "Fill in all three"),
        ({"new": "x" * 2000}, 400, "at most 1024"),
    ],
)
def test_a_refused_change_says_why_and_changes_nothing(
    provider: Provider, signed_in: Visitor, given: dict[str, str], status: int, sentence: str
) -> None:
    other = provider.visitor()
    other.sign_in("ada")

    refused = change(signed_in, **given)

    assert refused.status_code == status
    assert sentence in refused.text
    assert NEW not in refused.text, "a password is never put back into the page"
    assert other.get("/account/sessions").status_code == 200
    assert provider.visitor().sign_in("ada").status_code == 303


def test_guesses_are_limited_by_the_budget_of_the_sign_in_page(provider: Provider, signed_in: Visitor) -> None:
    """I14: whoever took over a session must not find out the password by trying."""
    for _ in range(provider.settings.guesses_per_person):
        assert change(signed_in, current="wrong again").status_code == 403

    assert change(signed_in).status_code == 429
    assert provider.visitor().sign_in("ada").status_code == 429


def test_of_two_changes_the_later_one_with_the_old_password_is_refused(
    provider: Provider, signed_in: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overtaken:
        """Between the check and the commit, another browser changes the password."""

        def verify(self, stored: str | None, _current: Any) -> bool:
            (user,) = provider.heart.all(User)
            provider.heart.change(user, password_hash="another hash")
            return stored is not None

        def hash(self, _new: Any) -> str:
            return "a third hash"

    monkeypatch.setattr(password, "checks_for", lambda _limit: Overtaken())

    assert change(signed_in).status_code == 409

    assert [user.password_hash for user in provider.heart.all(User)] == ["another hash"]


def test_without_a_sign_in_the_way_leads_there_and_back(browser: Visitor, ada: User) -> None:
    assert browser.get(PATH).location.startswith("/login?next=%2Faccount%2Fpassword")
    assert browser.get("/.well-known/change-password").location == PATH
