"""The words of the pages: times, reasons, scopes, receipts, titles."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from idp.account.shown import icon_of, title_of_record
from idp.db.models import Client, DeliveryState, EndReason, SessionKind
from idp.sessions import Receipt, ReceiptApplication
from idp.sessions.why import WhyEnded
from idp.settings import Settings
from idp.web import times
from idp.web.reasons import reason_at_sign_in, reason_in_history
from idp.web.receipts import receipt_view
from idp.web.views import client_card, scope_lines

NOW = datetime(2026, 11, 21, 14, 3, 20, tzinfo=UTC)
SETTINGS = Settings()


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=-30), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=29, hours=23), "29 days ago"),
        (timedelta(days=30), "on 22 Oct 2026"),
    ],
)
def test_what_lies_back_is_said_in_one_unit(passed: timedelta, words: str) -> None:
    assert times.ago(NOW - passed, NOW) == words


def test_moments_are_written_in_utc_and_say_so() -> None:
    assert times.day(NOW) == "21 Nov 2026"
    assert times.clock(NOW) == "14:03:20 UTC"
    assert times.full_time(NOW) == "21 Nov 2026, 14:03:20 UTC"
    assert times.iso(NOW) == "2026-11-21T14:03:20Z"


@pytest.mark.parametrize(
    ("duration", "words"),
    [(timedelta(days=28), "28 days"), (timedelta(hours=1), "1 hour"), (timedelta(hours=36), "36 hours"),
     (timedelta(minutes=90), "90 minutes"), (timedelta(seconds=90), "90 seconds")],
)  # fmt: skip
def test_lengths_are_said_exactly(duration: timedelta, words: str) -> None:
    assert times.length(duration) == words


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_has_words_and_an_unknown_one_is_not_invented(reason: EndReason) -> None:
    assert reason_in_history(reason) != reason_in_history("something new")
    assert reason_in_history("something new") == "It was ended"


@pytest.mark.parametrize("reason", EndReason)
def test_what_is_said_of_several_things_speaks_of_no_single_one(reason: EndReason) -> None:
    words = reason_in_history(reason, of_many=True)

    assert not re.search(r"\b(signed it out|It|Its)\b", words)
    assert words != reason_in_history("something new", of_many=True) == "They were ended"


def test_an_unknown_reason_is_not_invented_and_without_one_nothing_is_said() -> None:
    assert reason_at_sign_in(None) is None
    assert reason_at_sign_in(WhyEnded("something new")) == "You were signed out."


@pytest.mark.parametrize("reason", EndReason)
def test_the_sign_in_page_has_words_of_its_own_for_every_reason(reason: EndReason) -> None:
    words = reason_at_sign_in(WhyEnded(reason))

    assert words is not None
    assert words.startswith("You ")
    assert words.endswith(".")
    assert words != reason_at_sign_in(WhyEnded("something new"))


@pytest.mark.parametrize(
    ("reason", "lasted", "at_sign_in", "in_history"),
    [
        (EndReason.IDLE, timedelta(hours=24, seconds=25), "not used for 24 hours.", "It was not used for 24 hours"),
        (EndReason.IDLE, timedelta(minutes=30), "not used for 30 minutes.", "It was not used for 30 minutes"),
        (EndReason.IDLE, timedelta(days=28, hours=1), "not used for 28 days.", "It was not used for 28 days"),
        (EndReason.EXPIRED, timedelta(days=90), "signed in 90 days ago, and", "lifetime, 90 days after the sign-in"),
        (EndReason.PASSWORD_CHANGED, timedelta(days=90), "your password was changed.", "Your password was changed"),
    ],
)
def test_what_ended_by_time_says_how_long_it_lasted(
    reason: EndReason, lasted: timedelta, at_sign_in: str, in_history: str
) -> None:
    assert at_sign_in in str(reason_at_sign_in(WhyEnded(reason, lasted)))
    assert in_history in reason_in_history(reason, lasted)


def test_scopes_are_said_in_plain_words_and_unknown_ones_by_their_name() -> None:
    lines = scope_lines(["reports:read", "email", "openid"])

    assert [line.title for line in lines] == ["Know who you are", "See your e-mail address", "Use “reports:read”"]


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "http://evil.example/x", "//x", "", None])
def test_a_link_that_is_no_web_address_is_never_shown(uri: str | None) -> None:
    card = client_card(Client(id="c", name="Wiki", logo_uri=uri, policy_uri=uri, tos_uri=uri))

    assert (card.logo_url, card.policy_url, card.terms_url) == (None, None, None)


def test_a_card_names_where_the_redirect_goes() -> None:
    client = Client(id="c", name="Wiki")

    assert client_card(client, "https://wiki.example:8443/cb").host == "wiki.example:8443"
    assert client_card(client, "com.example.app:/cb").host == "com.example.app:"
    assert client_card(client).host == ""


@pytest.mark.parametrize(
    ("kind", "agent", "os_name", "device", "client", "title", "icon"),
    [
        (SessionKind.BROWSER, "Chrome 142", "Windows 11", "", None, "Chrome 142 on Windows 11", "browser"),
        (SessionKind.BROWSER, "Safari 26", "iOS 18.6", "iPhone", None, "Safari 26 on iPhone (iOS 18.6)", "phone"),
        (SessionKind.BROWSER, "Safari 26", "iOS 18.6", "iPad", None, "Safari 26 on iPad (iOS 18.6)", "tablet"),
        (SessionKind.BROWSER, "", "", "", None, "Unknown browser", "browser"),
        (SessionKind.APP, "Firefox 1", "Linux", "", "Drydock CLI", "Drydock CLI on Linux", "terminal"),
        (SessionKind.APP, "", "Android 16", "Pixel 9", "Mobile", "Mobile on Pixel 9 (Android 16)", "phone"),
        (SessionKind.APP, "", "", "", None, "Unknown app", "terminal"),
    ],
)
def test_titles_tell_devices_apart(
    kind: SessionKind, agent: str, os_name: str, device: str, client: str | None, title: str, icon: str
) -> None:
    record = SimpleNamespace(
        kind=kind, agent_name=agent, os_name=os_name, device_name=device, client_name=client, label=""
    )

    assert title_of_record(record) == title
    assert icon_of(kind, os_name=os_name, device_name=device) == icon


def receipt(*applications: ReceiptApplication, **changes: object) -> Receipt:
    usual: dict[str, object] = {
        "reason": EndReason.SIGNED_OUT,
        "occurred_at": NOW,
        "browsers": 1,
        "apps": 0,
        "applications": applications,
        "access_expires_at": NOW + timedelta(minutes=5),
        "pending": sum(application.state is DeliveryState.PENDING for application in applications),
        "is_own_browser": True,
    }
    return Receipt(**(usual | changes))  # type: ignore[arg-type]


def application(state: DeliveryState, *, name: str | None = "Wiki", is_retrying: bool = False) -> ReceiptApplication:
    return ReceiptApplication(name, state, is_retrying, NOW if state is not DeliveryState.PENDING else None)


@pytest.mark.parametrize(
    ("state", "is_retrying", "words"),
    [
        (DeliveryState.TOLD, False, "Told at"),
        (DeliveryState.PENDING, False, "Being told"),
        (DeliveryState.PENDING, True, "Trying again"),
        (DeliveryState.CANNOT_BE_TOLD, False, "Cannot be told, will notice within 5 minutes"),
        (DeliveryState.REFUSED, False, "Failed: it could not be told"),
        (DeliveryState.GAVE_UP, False, "Failed: it could not be told"),
    ],
)
def test_each_application_of_a_receipt_has_its_state_in_words(
    state: DeliveryState, is_retrying: bool, words: str
) -> None:
    view = receipt_view(receipt(application(state, is_retrying=is_retrying)), now=NOW, settings=SETTINGS)

    assert [(line.name, line.words) for line in view.applications] == [("Wiki", words)]
    assert view.pending is (state is DeliveryState.PENDING)


def test_what_cannot_be_told_will_notice_only_as_long_as_there_is_something_to_notice() -> None:
    untold = application(DeliveryState.CANNOT_BE_TOLD)

    (later,) = receipt_view(receipt(untold), now=NOW + timedelta(minutes=5), settings=SETTINGS).applications
    (without,) = receipt_view(receipt(untold, access_expires_at=None), now=NOW, settings=SETTINGS).applications

    assert later.words == without.words == "Could not be told, its access is over"


def test_another_browser_sees_counts_and_no_names() -> None:
    told = [application(DeliveryState.TOLD, name=None) for _ in range(3)]
    view = receipt_view(
        receipt(*told, application(DeliveryState.PENDING, name=None), is_own_browser=False), now=NOW, settings=SETTINGS
    )

    assert view.applications == ()
    assert [(line.words, line.count) for line in view.counts] == [("Told", 3), ("Being told", 1)]


def test_a_receipt_says_whether_the_last_access_is_over() -> None:
    before = receipt_view(receipt(), now=NOW, settings=SETTINGS)
    after = receipt_view(receipt(), now=NOW + timedelta(minutes=5), settings=SETTINGS)

    assert (before.is_over, after.is_over) == (False, True)


@pytest.mark.parametrize(
    ("browsers", "apps", "words"),
    [
        (1, 0, "Your session in one browser, and in every application opened with it, ended"),
        (0, 1, "One app or tool was signed out"),
        (0, 0, "An application’s access ended"),
        (3, 2, "3 browsers and 2 apps and tools were signed out"),
        (1, 1, "1 browser and 1 app or tool were signed out"),
        (10_000, 0, "10,000 browsers were signed out"),
    ],
)
def test_a_receipt_says_what_ended(browsers: int, apps: int, words: str) -> None:
    view = receipt_view(receipt(browsers=browsers, apps=apps), now=NOW, settings=SETTINGS)

    assert (view.what, view.occurred_at) == (words, NOW)


def test_signing_out_a_browser_says_that_apps_stay_and_everywhere_does_not() -> None:
    everywhere = receipt(reason=EndReason.SIGNED_OUT_EVERYWHERE)

    assert receipt_view(receipt(), now=NOW, settings=SETTINGS).apps_stay is True
    assert receipt_view(everywhere, now=NOW, settings=SETTINGS).apps_stay is False
    assert receipt_view(everywhere, now=NOW, settings=SETTINGS).title == "You are signed out everywhere"
