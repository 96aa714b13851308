"""/readyz: what is only a warning: no worker, notices and mail that leave late."""

from datetime import timedelta

from idp import outbox
from idp.db.models import DeliveryState, LogoutDelivery, MailMessage, MailState
from idp.kit.clock import SystemClock
from idp.mail import Letter, enqueue_mail
from tests.operation.probes import OpenProvider, ProbedNode
from tests.support.heart import HandClock


def silence_worker(node: ProbedNode) -> None:
    with node.services.database.transaction() as tx:
        outbox.forget_worker(tx, name="node-1:1:x")


def test_without_a_worker_a_node_is_ready_with_a_warning_unless_the_settings_want_one(
    open_provider: OpenProvider, hand_clock: HandClock
) -> None:
    hand_clock.moment = SystemClock().now() - timedelta(seconds=30)
    for needs_worker, status, state in ((False, 200, "warning"), (True, 503, "failed")):
        node = ProbedNode(open_provider(readiness_needs_worker=needs_worker))

        assert node.findings()["worker"][0] == state
        assert "None has reported" in node.findings()["worker"][1]
        assert node.ready().status_code == status, node.findings()
        node.report(seconds_ago=50)
        assert node.findings()["worker"][0] == "ok"
        silence_worker(node)
        node.report(seconds_ago=180)
        assert node.findings()["worker"][0] == state
        assert "is 3 min old" in node.findings()["worker"][1]
        silence_worker(node)


def test_notices_that_leave_late_are_a_warning(node: ProbedNode) -> None:
    heart = node.provider.heart
    person, client = heart.person(), heart.client(backchannel_logout_uri="https://wiki.example/out")
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)
    assert node.findings()["queue"] == ("ok", "1 wait.")

    (delivery,) = heart.all(LogoutDelivery)
    heart.change(delivery, next_attempt_at=SystemClock().now() - timedelta(minutes=5))
    assert node.ready().status_code == 200
    assert node.findings()["queue"] == ("warning", "1 wait, one for 5 min longer than it should. Add workers.")

    heart.change(delivery, state=DeliveryState.TOLD, settled_at=heart.now)
    assert node.findings()["queue"] == ("ok", "0 wait.")


def test_mail_that_does_not_leave_is_a_warning(node: ProbedNode) -> None:
    heart = node.provider.heart
    assert node.findings()["mail"] == ("ok", "No mail server is set (IDP_SMTP_HOST): nobody is written to.")
    person = heart.person()
    settings = heart.settings.model_copy(update={"smtp_host": "mail.example.com"})
    letter = Letter(kind="notice", subject="A subject", body="A text")
    with heart.database.transaction() as tx:
        enqueue_mail(tx, user_id=person.id, letter=letter, settings=settings, now=SystemClock().now())
    (message,) = heart.all(MailMessage)

    long_ago = SystemClock().now() - timedelta(minutes=20)
    heart.change(message, next_attempt_at=long_ago)
    assert node.findings()["mail"] == ("warning", "1 wait, one for 20 min longer than it should. Add workers.")
    heart.change(message, next_attempt_at=SystemClock().now() + timedelta(minutes=9), created_at=long_ago)
    assert "the oldest for 20 min. See" in node.findings()["mail"][1]
    heart.change(message, state=MailState.GAVE_UP, settled_at=SystemClock().now() - timedelta(hours=23))
    assert node.findings()["mail"][1].startswith("1 given up within a day.")
    assert node.ready().status_code == 200

    heart.change(message, settled_at=SystemClock().now() - timedelta(hours=25))
    assert node.findings()["mail"][0] == "ok"
    assert "ada" not in str(node.findings())
