"""What Prometheus reads: who may, and which events count."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from idp import mail
from idp.db.models import Client, EndReason, MailMessage, MailState
from idp.kit import metrics
from idp.kit.opaque import Secret
from idp.operation.exposition import Exposition, may_read
from idp.web.services import Services
from idp.worker import deliver_due, sweep_expired
from tests.operation.numbers import TOKEN, gauges, number
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock, Heart
from tests.support.pages import Visitor
from tests.support.receivers import Receivers

OpenProvider = Callable[..., Provider]


@pytest.fixture
def counted(services: Services) -> Callable[..., float]:
    """By how much a number of this process has grown since the test began."""
    before = Exposition(services).render().decode()

    def growth(name: str, **labels: str) -> float:
        return number(Exposition(services).render().decode(), name, **labels) - number(before, name, **labels)

    return growth


# ── Who may read ──────────────────────────────────────────────────────────────────────────────────────────────────────


def scrape(provider: Provider, **headers: str) -> TestResponse:
    return provider.get("/metrics", headers=headers)


def test_without_a_token_in_the_settings_there_is_nothing_there(open_provider: OpenProvider) -> None:
    assert scrape(open_provider()).status_code == 404
    assert scrape(open_provider(), Authorization="Bearer ").status_code == 404


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_only_who_holds_the_token_may_read(open_provider: OpenProvider, authorization: str | None) -> None:
    provider = open_provider(metrics_token=Secret(TOKEN))
    headers = {"Authorization": authorization} if authorization is not None else {}

    refused = scrape(provider, **headers)

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="metrics"'
    assert "idp_requests" not in refused.text
    accepted = scrape(provider, Authorization=f"bearer {TOKEN}")
    assert accepted.status_code == 200
    assert accepted.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert number(accepted.text, "idp_info", version="0.1.0") == 1


def test_odd_bytes_in_the_header_are_only_a_wrong_token() -> None:
    assert not may_read("Bearer \ud800é", Secret(TOKEN))


# ── What counts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_requests_count_by_route_method_and_class_of_status(provider: Provider, counted: Callable[..., float]) -> None:
    client = provider.app.test_client()
    client.get("/login")
    client.get("/login?x=%ff")
    client.get("/anything/" + "x" * 50)
    client.open("/whatever", method="BREW")

    assert counted("idp_requests_total", route="/login", method="GET", status="2xx") == 1
    assert counted("idp_requests_total", route="/login", method="GET", status="4xx") == 1
    assert counted("idp_requests_total", route="(none)", method="GET", status="4xx") == 1
    assert counted("idp_requests_total", route="(none)", method="OTHER", status="4xx") == 1
    assert counted("idp_request_seconds_count", route="/login", method="GET") == 2
    assert counted("idp_request_seconds_bucket", route="/login", method="GET", le="+Inf") == 2


def test_refreshes_count_by_what_came_of_them(
    provider: Provider, ada: object, browser: Visitor, clock: HandClock, counted: Callable[..., float]
) -> None:
    rp = provider.relying_party(name="Tool", scopes=("openid", "offline_access"))

    def outcomes() -> dict[str, float]:
        grown = {word: counted("idp_refreshes_total", outcome=word) for word in metrics.REFRESH_OUTCOMES}
        return {word: value for word, value in grown.items() if value}

    first = rp.sign_in(browser, scope="openid offline_access")
    second = rp.refresh(first)
    assert outcomes() == {"rotated": 1}
    clock.advance(seconds=1)
    rp.refresh(first)
    assert outcomes() == {"rotated": 1, "held": 1}
    clock.advance(minutes=1)
    rp.refresh(first)
    assert outcomes() == {"rotated": 1, "held": 1, "skipped": 1}
    rp.refresh("idp_rt_garbage")
    assert outcomes() == {"rotated": 1, "held": 1, "skipped": 1, "refused": 1}
    clock.advance(minutes=1)
    assert rp.refresh(second).error == "invalid_grant"
    assert outcomes() == {"rotated": 1, "held": 1, "skipped": 1, "refused": 1, "reused": 1}
    assert counted("idp_sessions_ended_total", reason="refresh_token_reuse") == 1
    assert rp.refresh(second).error == "invalid_grant"
    assert outcomes()["refused"] == 2


def test_a_token_ahead_of_our_records_counts_apart(
    provider: Provider, ada: object, browser: Visitor, clock: HandClock, counted: Callable[..., float]
) -> None:
    rp = provider.relying_party(name="Tool", scopes=("openid", "offline_access"))
    tokens = rp.sign_in(browser, scope="openid offline_access")
    newer = rp.refresh(tokens)
    (family,) = provider.heart.all(_family_model())
    provider.heart.change(family, generation=1, parent_generation=None, rotated_at=None)  # a restored backup

    assert rp.refresh(newer).error == "invalid_grant"

    assert counted("idp_refreshes_total", outcome="ahead") == 1
    assert counted("idp_sessions_ended_total", reason="refresh_token_ahead") == 1


def _family_model() -> Any:
    from idp.db.models import TokenFamily

    return TokenFamily


def test_ends_count_by_reason_whichever_desk_they_come_through(
    provider: Provider, ada: object, rp: RelyingParty, counted: Callable[..., float]
) -> None:
    def ended(reason: EndReason) -> float:
        return counted("idp_sessions_ended_total", reason=str(reason))

    provider.person("bob")

    leaving = provider.visitor()
    leaving.sign_in("ada")
    leaving.submit(leaving.page("/logout").form("/logout"), button="logout-confirm")
    assert ended(EndReason.SIGNED_OUT) == 1

    here, there, third = provider.visitor(), provider.visitor(), provider.visitor()
    for browser in (here, there, third):
        browser.sign_in("ada")
    here.submit(here.page("/account/sessions/end-others").form("/account/sessions/end-others"))
    assert ended(EndReason.SIGNED_OUT_EVERYWHERE_ELSE) == 2

    rp.sign_in(here)
    here.submit(here.page("/account/applications").form("/account/applications/withdraw"))
    assert ended(EndReason.CONSENT_WITHDRAWN) == 1

    here.submit(here.page("/account/sessions/end-everywhere").form("/account/sessions/end-everywhere"))
    assert ended(EndReason.SIGNED_OUT_EVERYWHERE) == 1

    shared = provider.visitor()
    shared.sign_in("ada")
    shared.sign_in("bob", path="/login?switch=yes")
    assert ended(EndReason.OTHER_PERSON_SIGNED_IN) == 1

    authorized = rp.authorize(shared, name="bob")
    rp.redeem(authorized.code)
    rp.redeem(authorized.code)
    assert ended(EndReason.CODE_REUSED) == 1

    rp.revoke(rp.sign_in(shared, name="bob").refresh_token)
    assert ended(EndReason.TOKEN_REVOKED) == 1


def test_one_session_of_the_list_counts_and_a_second_click_does_not(
    provider: Provider, ada: object, counted: Callable[..., float]
) -> None:
    here, there = provider.visitor(), provider.visitor()
    here.sign_in("ada")
    there.sign_in("ada")
    (form,) = [form for form in here.page("/account/sessions").forms if form.action.endswith("/end")]

    here.submit(form)
    here.submit(form)

    assert counted("idp_sessions_ended_total", reason="ended_by_person") == 1


def test_ends_by_time_count_when_the_worker_writes_them_down(
    heart: Heart, open_services: Callable[..., Services], counted: Callable[..., float]
) -> None:
    services = open_services()
    for _ in range(3):
        heart.sign_in(heart.person())
    heart.clock.advance(days=2)

    sweep_expired(services)
    sweep_expired(services)

    assert counted("idp_sessions_ended_total", reason="idle") == 3


def test_guesses_count_when_they_are_refused_unchecked(
    open_provider: OpenProvider, counted: Callable[..., float]
) -> None:
    provider = open_provider(guesses_per_person=1)
    provider.person("ada")
    browser = provider.visitor()

    assert browser.sign_in("ada", "wrong").status_code == 403
    assert counted("idp_guesses_refused_total") == 0
    assert browser.sign_in("ada", "wrong").status_code == 429
    assert counted("idp_guesses_refused_total") == 1


def test_deliveries_count_by_what_followed_and_the_queue_is_measured(
    heart: Heart, receivers: Receivers, open_services: Callable[..., Services], counted: Callable[..., float]
) -> None:
    good, busy = receivers(), receivers(503)
    clients: list[Client] = [heart.client(backchannel_logout_uri=receiver.uri) for receiver in (good, busy)]
    services = open_services(allow=[good, busy])
    person = heart.person()
    session = heart.sign_in(person)
    for client in clients:
        heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    assert gauges(services)["idp_notices_pending"] == 2

    heart.clock.advance(seconds=30)
    assert gauges(services)["idp_notices_oldest_seconds"] == 30
    assert gauges(services)["idp_notices_overdue_seconds"] == 30
    deliver_due(services)

    assert counted("idp_delivery_attempts_total", result="told") == 1
    assert counted("idp_delivery_attempts_total", result="retry") == 1
    assert gauges(services)["idp_notices_pending"] == 1
    assert gauges(services)["idp_notices_overdue_seconds"] == 0


def test_mail_shows_how_much_waits_for_how_long_and_what_was_given_up(heart: Heart, services: Services) -> None:
    settings = heart.settings.model_copy(update={"smtp_host": "mail.example.com"})
    person = heart.person()
    for _ in range(3):
        with heart.database.transaction() as tx:
            letter = mail.Letter(kind="notice", subject="A subject", body="A text")
            mail.enqueue_mail(tx, user_id=person.id, letter=letter, settings=settings, now=heart.now)
    first, second, _third = heart.all(MailMessage)
    heart.clock.advance(hours=2)
    heart.change(first, state=MailState.GAVE_UP, settled_at=heart.now)
    heart.change(second, state=MailState.SENT, settled_at=heart.now)

    found = gauges(services)

    assert found["idp_mails_pending"] == 1
    assert (found["idp_mails_oldest_seconds"], found["idp_mails_overdue_seconds"]) == (7200, 7200)
    assert found["idp_mails_given_up"] == 1
