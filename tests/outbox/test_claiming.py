"""Deliveries: written with the end that causes them, leased to one worker at a time, settled once, never lost."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from idp import outbox
from idp.db.engine import Database
from idp.db.models import Client, DeliveryState, LogoutDelivery, SessionClient, User
from idp.db.models.clients import ClientOrigin
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundFailure
from idp.outbox import Claimed, Lane, Retry, Settle
from tests.support.heart import Heart, race

URI = "https://rp.example:8443/backchannel?x=1"
OK = OutboundAnswer(200, {}, b"", 0.1)
DOWN = OutboundFailure(FailureKind.UNREACHABLE, "down")


def deliveries(heart: Heart) -> list[LogoutDelivery]:
    return heart.all(LogoutDelivery)


def signed_out(heart: Heart, *uris: str | None, people: int = 1) -> list[User]:
    """People who were signed in at one application per address, and signed out."""
    clients = [heart.client(backchannel_logout_uri=uri) for uri in uris]
    made = []
    for _ in range(people):
        person = heart.person()
        session = heart.sign_in(person)
        for client in clients:
            heart.tokens_for(session, client)
        heart.end(person, session.session_id)
        made.append(person)
    return made


def claim(
    heart: Heart, holder: str = "w", limit: int = 100, database: Database | None = None, **options: object
) -> list[Claimed]:
    with (database or heart.database).transaction() as tx:
        return outbox.claim_due(tx, holder=holder, limit=limit, now=heart.now, settings=heart.settings, **options)  # type: ignore[arg-type]


def settle(heart: Heart, one: Claimed, step: Retry | Settle, outcome: object = OK) -> bool:
    with heart.database.transaction() as tx:
        return outbox.settle(tx, one, step, outcome, now=heart.now)  # type: ignore[arg-type]


def test_an_end_writes_one_notice_per_application_with_all_that_it_takes_to_send_it(heart: Heart) -> None:
    person = heart.person()
    client = heart.client(name="Wiki", backchannel_logout_uri=URI, id_token_signed_response_alg="RS256")
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    sid = heart.all(SessionClient)[0].sid

    ended = heart.end(person, session.session_id)

    (one,) = deliveries(heart)
    assert ended.deliveries == 1
    assert (one.client_name, one.uri, one.host) == ("Wiki", URI, "rp.example:8443")
    assert (one.audience, one.sub, one.sid, one.algorithm) == (client.id, person.sub, sid, "RS256")
    assert (one.state, one.next_attempt_at, one.ended_at) == (DeliveryState.PENDING, heart.now, heart.now)
    assert one.operator_registered
    assert one.event_id == ended.event_id


def test_the_snapshot_survives_changes_to_the_client(heart: Heart) -> None:
    signed_out(heart, URI)
    client = heart.all(Client)[0]
    heart.change(client, backchannel_logout_uri=None, name="Other", deleted_at=heart.now)

    (one,) = claim(heart)

    assert one.uri == URI


def test_an_application_without_an_address_is_written_down_as_one_that_cannot_be_told(heart: Heart) -> None:
    signed_out(heart, None)

    (one,) = deliveries(heart)
    assert (one.state, one.settled_at, one.uri) == (DeliveryState.CANNOT_BE_TOLD, heart.now, None)
    assert claim(heart) == []


def test_a_client_that_registered_itself_gets_no_allow_list(heart: Heart) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri=URI)
    heart.change(client, origin=ClientOrigin.DYNAMIC)
    session = heart.sign_in(person)
    heart.tokens_for(session, client)
    heart.end(person, session.session_id)

    assert [one.operator_registered for one in claim(heart)] == [False]


def test_when_the_end_is_rolled_back_there_is_no_notice(heart: Heart) -> None:
    person, client = heart.person(), heart.client(backchannel_logout_uri=URI)
    heart.tokens_for(heart.sign_in(person), client)

    def end_and_fail() -> None:
        from idp.db.models import EndReason
        from idp.sessions import Actor, end_everything

        with heart.database.transaction() as tx:
            end_everything(
                tx,
                user_id=person.id,
                except_session_id=None,
                reason=EndReason.SIGNED_OUT_EVERYWHERE,
                actor=Actor(),
                settings=heart.settings,
                now=heart.now,
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        end_and_fail()

    assert deliveries(heart) == []


def test_a_leased_notice_is_not_leased_again_until_the_lease_runs_out(heart: Heart) -> None:
    signed_out(heart, URI)

    first = claim(heart, "one")
    assert claim(heart, "two") == []
    heart.clock.advance(seconds=heart.settings.delivery_lease_lifetime.total_seconds())
    second = claim(heart, "two")

    assert [one.attempts for one in first + second] == [1, 2]
    assert first[0].leased_until == heart.now


def test_nothing_is_leased_before_it_is_due(heart: Heart) -> None:
    signed_out(heart, URI)
    (one,) = claim(heart)
    settle(heart, one, Retry(heart.now + timedelta(seconds=5)), DOWN)

    heart.clock.advance(seconds=4.999999)
    assert claim(heart) == []
    heart.clock.advance(seconds=0.000001)
    assert len(claim(heart)) == 1


def test_settling_ends_it_for_good(heart: Heart) -> None:
    signed_out(heart, URI)
    (one,) = claim(heart)

    assert settle(heart, one, Settle(DeliveryState.TOLD))
    assert not settle(heart, one, Settle(DeliveryState.GAVE_UP))
    heart.clock.advance(days=2)

    assert claim(heart) == []
    (row,) = deliveries(heart)
    assert (row.state, row.last_status, row.last_failure, row.lease_holder) == (DeliveryState.TOLD, 200, None, None)


def test_who_lost_the_lease_can_record_nothing(heart: Heart) -> None:
    signed_out(heart, URI)
    (slow,) = claim(heart, "slow")
    heart.clock.advance(minutes=1)
    (quick,) = claim(heart, "quick")

    assert not settle(heart, slow, Settle(DeliveryState.GAVE_UP), DOWN)
    assert settle(heart, quick, Settle(DeliveryState.TOLD))

    assert [row.state for row in deliveries(heart)] == [DeliveryState.TOLD]


def test_the_same_worker_with_an_older_lease_can_record_nothing_either(heart: Heart) -> None:
    signed_out(heart, URI)
    (older,) = claim(heart, "w")
    heart.clock.advance(minutes=1)
    (newer,) = claim(heart, "w")

    assert not settle(heart, older, Settle(DeliveryState.GAVE_UP), DOWN)
    assert settle(heart, newer, Settle(DeliveryState.TOLD))


def test_a_no_is_counted_and_an_outage_is_not(heart: Heart) -> None:
    signed_out(heart, URI)
    (one,) = claim(heart)
    settle(heart, one, Retry(heart.now, is_refusal=True), OutboundAnswer(404, {}, b"", 0.1))
    (two,) = claim(heart)
    settle(heart, two, Retry(heart.now), DOWN)

    (three,) = claim(heart)

    assert (three.attempts, three.refusals) == (3, 1)


def test_what_was_leased_and_not_attempted_can_be_given_back_uncounted(heart: Heart) -> None:
    signed_out(heart, URI)
    one = claim(heart, "one")
    with heart.database.transaction() as tx:
        assert outbox.release(tx, one, now=heart.now) == 1
        assert outbox.release(tx, one, now=heart.now) == 0

    assert [again.attempts for again in claim(heart, "two")] == [1]


def test_who_gave_a_lease_back_can_record_nothing_about_the_next_one(heart: Heart) -> None:
    signed_out(heart, URI)
    (given_back,) = claim(heart, "one")
    with heart.database.transaction() as tx:
        outbox.release(tx, [given_back], now=heart.now)
    (theirs,) = claim(heart, "two")
    assert theirs.attempts == given_back.attempts

    assert not settle(heart, given_back, Settle(DeliveryState.GAVE_UP), DOWN)
    assert settle(heart, theirs, Settle(DeliveryState.TOLD))


@pytest.mark.parametrize(
    "database_backend", ["postgresql"], indirect=True
)  # SQLite lets one transaction write at a time
def test_a_claim_that_is_not_yet_committed_makes_no_other_worker_wait(
    heart: Heart, open_database: Callable[[], Database]
) -> None:
    signed_out(heart, "https://a.example/x", "https://b.example/x")
    other = open_database()

    with heart.database.transaction() as tx:
        mine = outbox.claim_due(tx, holder="one", limit=1, now=heart.now, settings=heart.settings)
        theirs = claim(heart, "two", database=other)  # would run into lock_timeout

    assert len(mine) == len(theirs) == 1
    assert mine[0].id != theirs[0].id


def test_one_claim_takes_only_a_few_for_one_host_and_sees_past_its_backlog(heart: Heart) -> None:
    signed_out(heart, "https://slow.example/a", people=9)
    heart.clock.advance(seconds=1)
    signed_out(heart, "https://other.example/a")

    hosts = Counter(one.host for one in claim(heart))

    assert hosts == {"slow.example": heart.settings.deliveries_per_host, "other.example": 1}


def test_the_few_of_each_host_are_its_oldest_ones(heart: Heart) -> None:
    few, oldest = heart.settings.deliveries_per_host, []
    for number in range(few + 3):
        signed_out(heart, "https://a.example/x", "https://b.example/x", "https://c.example/x")
        oldest += [heart.now] * 3 if number < few else []
        heart.clock.advance(seconds=1)

    assert [one.ended_at for one in claim(heart)] == oldest


def test_full_hosts_and_hosts_without_a_slot_are_passed_over(heart: Heart) -> None:
    signed_out(heart, "https://a.example/x", "https://b.example/x", "https://c.example/x")

    claimed = claim(heart, full_hosts=frozenset({"a.example"}), may_take=lambda host: host != "b.example")

    assert [one.host for one in claimed] == ["c.example"]
    assert {one.host for one in claim(heart)} == {"a.example", "b.example"}


def test_first_attempts_and_repeated_ones_are_claimed_apart(heart: Heart) -> None:
    signed_out(heart, "https://dead.example/x", people=2)
    for dead in claim(heart):
        settle(heart, dead, Retry(heart.now), DOWN)
    signed_out(heart, "https://new.example/x")

    assert [one.host for one in claim(heart, lane=Lane.AGAIN, limit=1)] == ["dead.example"]
    assert [one.host for one in claim(heart, lane=Lane.FIRST)] == ["new.example"]
    assert [one.host for one in claim(heart, lane=Lane.AGAIN)] == ["dead.example"]


def test_no_more_than_the_limit_is_claimed_and_the_oldest_first(heart: Heart) -> None:
    for number in range(4):
        signed_out(heart, f"https://{number}.example/x")
        heart.clock.advance(seconds=1)

    assert [one.host for one in claim(heart, limit=3)] == ["0.example", "1.example", "2.example"]
    assert claim(heart, limit=0) == []


def test_the_next_due_moment_is_known_and_settled_ones_do_not_count(heart: Heart) -> None:
    def next_due(*full: str) -> object:
        with heart.database.reading() as tx:
            return outbox.find_next_due(tx, full_hosts=frozenset(full))

    assert next_due() is None
    signed_out(heart, URI, None)
    assert next_due() == heart.now
    assert next_due("rp.example:8443") is None
    (one,) = claim(heart)
    assert next_due() == one.leased_until
    settle(heart, one, Settle(DeliveryState.TOLD))
    assert next_due() is None


def test_of_several_the_earliest_is_the_next_due_and_full_hosts_are_passed_over(heart: Heart) -> None:
    earliest = heart.now
    signed_out(heart, "https://a.example/x")
    heart.clock.advance(seconds=1)
    signed_out(heart, "https://b.example/x", people=2)

    with heart.database.reading() as tx:
        assert outbox.find_next_due(tx) == earliest
        assert outbox.find_next_due(tx, full_hosts=frozenset({"a.example"})) == heart.now
        assert outbox.find_next_due(tx, full_hosts=frozenset({"b.example"})) == earliest


def test_a_notice_that_was_given_back_is_due_now_and_held_by_nobody(heart: Heart) -> None:
    signed_out(heart, URI)
    leased = claim(heart)
    heart.clock.advance(seconds=1)

    with heart.database.transaction() as tx:
        assert outbox.release(tx, leased, now=heart.now) == 1
        assert outbox.release(tx, [], now=heart.now) == 0

    [row] = deliveries(heart)
    assert (row.next_attempt_at, row.lease_holder, row.leased_until) == (heart.now, None, None)


def test_many_workers_lease_each_notice_exactly_once(heart: Heart, open_database: Callable[[], Database]) -> None:
    signed_out(heart, *(f"https://{number}.example/x" for number in range(20)), people=2)
    nodes = [open_database() for _ in range(3)]

    def work(number: int) -> list[str]:
        taken: list[str] = []
        for _ in range(6):
            taken += [one.id for one in claim(heart, f"w{number}", limit=7, database=nodes[number % 3])]
        return taken

    taken = [one for part in race([lambda n=number: work(n) for number in range(9)]) for one in part]  # type: ignore[misc]

    assert len(taken) == len(set(taken))
    taken += [one.id for one in claim(heart, "rest")]
    assert len(set(taken)) == 40
    assert {row.attempts for row in deliveries(heart)} == {1}


def test_of_two_workers_after_one_expired_lease_exactly_one_gets_it(
    heart: Heart, open_database: Callable[[], Database]
) -> None:
    nodes = [open_database(), open_database()]
    for _ in range(10):
        signed_out(heart, URI)
        claim(heart, "dead")
        heart.clock.advance(minutes=1)

        won = race([lambda n=number: claim(heart, f"w{n}", database=nodes[n]) for number in range(2)])  # type: ignore[misc]

        assert sorted(len(one) for one in won) == [0, 1]
        with heart.database.transaction() as tx:
            tx.execute(update(LogoutDelivery).values(state=DeliveryState.TOLD, settled_at=heart.now))


def test_a_claim_uses_the_index_on_pending_rows(heart: Heart) -> None:
    from sqlalchemy import text

    from idp.outbox.claim import _IS_PENDING, _lockable

    due = _IS_PENDING & (LogoutDelivery.next_attempt_at <= heart.now)
    statement = _lockable(due, Lane.FIRST, frozenset(), limit=16, per_host=4)
    with heart.database.reading() as tx:
        dialect = tx.get_bind().dialect
        compiled = statement.compile(
            dialect=dialect, compile_kwargs={"literal_binds": True, "render_postcompile": True}
        )
        if dialect.name == "postgresql":
            tx.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = "\n".join(str(row) for row in tx.connection().exec_driver_sql(f"{explain} {compiled}"))

    assert "ix_logout_deliveries_due" in plan
