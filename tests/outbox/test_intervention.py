"""What an operator does to notices by hand: to which, what is written anew, and what the audit trail says of it."""

import threading
from typing import Any

import pytest

from idp.db.models import AuditEvent, DeliveryState, LogoutDelivery
from idp.outbox import intervention
from idp.outbox.intervention import count_known, find_of_client, give_up, redeliver
from idp.outbox.wake import WakeUp
from tests.outbox.notices import MINUTE, notices
from tests.support.heart import Heart

PENDING, TOLD, CANNOT = DeliveryState.PENDING, DeliveryState.TOLD, DeliveryState.CANNOT_BE_TOLD
REFUSED, GAVE_UP = DeliveryState.REFUSED, DeliveryState.GAVE_UP
USED = {"attempts": 7, "refusals": 3, "lease_holder": "w", "leased_until": None, "created_at": -90}


def again(heart: Heart, *ids: str, to_current_address: bool = False) -> list[str]:
    with heart.database.transaction() as tx:
        return redeliver(tx, delivery_ids=ids, to_current_address=to_current_address, actor="operator", now=heart.now)


def give(heart: Heart, *ids: str) -> list[str]:
    with heart.database.transaction() as tx:
        return give_up(tx, delivery_ids=ids, actor="operator", now=heart.now)


def rows(heart: Heart) -> dict[str, LogoutDelivery]:
    return {row.id: row for row in heart.all(LogoutDelivery)}


def audited(heart: Heart, kind: str) -> list[tuple[Any, ...]]:
    return [(row.client_id, row.actor, row.details) for row in heart.all(AuditEvent, AuditEvent.kind == kind)]


def test_a_settled_notice_begins_anew_and_waiting_ones_and_those_not_named_stay(heart: Heart) -> None:
    client, (dead, waits, other) = notices(
        heart, {"state": REFUSED, **USED}, {"state": PENDING, **USED}, {"state": GAVE_UP, **USED}
    )
    before = rows(heart)

    assert again(heart, waits, dead) == [dead]

    after = rows(heart)
    begun = after[dead]
    assert (begun.state, begun.settled_at, begun.attempts, begun.refusals) == (PENDING, None, 0, 0)
    assert (begun.created_at, begun.next_attempt_at) == (heart.now, heart.now)
    assert (begun.lease_holder, begun.leased_until) == (None, None)
    assert (begun.uri, begun.host) == ("https://rp.example/out", "rp.example")
    for untouched in (waits, other):
        assert (after[untouched].attempts, after[untouched].created_at) == (7, before[untouched].created_at)
    assert audited(heart, "notices_redelivered") == [(client.id, "operator", {"deliveries": [dead], "count": 1})]


def test_what_has_no_address_is_left_alone_and_may_go_to_the_one_of_today(heart: Heart) -> None:
    client, (deaf,) = notices(heart, {"state": CANNOT, "uri": None, "host": ""})

    assert again(heart, deaf) == []
    assert audited(heart, "notices_redelivered") == []
    heart.change(client, backchannel_logout_uri="https://new.example:8443/out")
    assert again(heart, deaf, to_current_address=True) == [deaf]

    row = rows(heart)[deaf]
    assert (row.state, row.uri, row.host) == (PENDING, "https://new.example:8443/out", "new.example:8443")


def test_giving_up_settles_what_waits_even_when_a_worker_holds_it_and_nothing_else(heart: Heart) -> None:
    client, (waits, told, other) = notices(heart, {"state": PENDING, **USED}, {"state": TOLD}, {"state": PENDING})
    heart.change(rows(heart)[waits], leased_until=heart.now + MINUTE)

    assert give(heart, told, waits) == [waits]

    after = rows(heart)
    assert (after[waits].state, after[waits].settled_at) == (GAVE_UP, heart.now)
    assert (after[waits].lease_holder, after[waits].leased_until) == (None, None)
    assert after[waits].last_failure == "given up by an operator"
    assert (after[told].state, after[other].state) == (TOLD, PENDING)
    assert audited(heart, "notices_given_up") == [(client.id, "operator", {"deliveries": [waits], "count": 1})]
    assert give(heart, told) == []
    assert len(audited(heart, "notices_given_up")) == 1


def test_the_audit_trail_names_an_application_only_when_it_was_one(heart: Heart) -> None:
    _, one = notices(heart, *({"state": GAVE_UP} for _ in range(2)))
    _, two = notices(heart, {"state": GAVE_UP})

    done = again(heart, *two, *one)

    assert done == sorted([*one, *two])
    assert audited(heart, "notices_redelivered") == [(None, "operator", {"deliveries": done, "count": 3})]
    assert give(heart, *reversed(done)) == done
    assert audited(heart, "notices_given_up") == [(None, "operator", {"deliveries": done, "count": 3})]


def test_one_that_has_no_address_does_not_hold_up_those_behind_it(heart: Heart) -> None:
    _, (deaf, dead) = notices(heart, {"state": CANNOT, "uri": None, "host": ""}, {"state": GAVE_UP})

    assert again(heart, deaf, dead) == [dead]


def test_an_applications_dead_notices_are_found_up_to_a_moment_and_its_waiting_ones_at_any(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, (one, two, later, waits, _told) = notices(
        heart,
        {"state": REFUSED, "settled_at": -1},
        {"state": GAVE_UP},
        {"state": GAVE_UP, "settled_at": 1},
        {"state": PENDING},
        {"state": TOLD},
    )
    _, (strange,) = notices(heart, {"state": GAVE_UP})

    def found(*, dead: bool) -> list[str]:
        with heart.database.reading() as tx:
            return find_of_client(tx, client_id=client.id, dead=dead, until=heart.now)

    assert (found(dead=True), found(dead=False)) == ([one, two], [waits])
    monkeypatch.setattr(intervention, "AT_ONCE", 1)
    assert found(dead=True) == [one]
    with heart.database.reading() as tx:
        assert count_known(tx, [one, later, strange, "0" * 26]) == 3


def test_the_workers_are_woken_for_what_begins_anew(heart: Heart) -> None:
    _, (dead,) = notices(heart, {"state": GAVE_UP})
    woken = threading.Event()
    listening = WakeUp(heart.database.engine, woken.set)
    listening.start()
    try:
        assert woken.wait(30), "once at the beginning, for what was there before"
        woken.clear()

        assert again(heart, dead) == [dead]

        assert woken.wait(30)
    finally:
        listening.stop()
        listening.join(30)


def test_of_many_notices_the_audit_trail_names_a_hundred_and_counts_all(heart: Heart) -> None:
    _, ids = notices(heart, *({"state": PENDING, "created_at": -number} for number in range(101)))

    assert give(heart, *ids) == sorted(ids)

    [(_, _, details)] = audited(heart, "notices_given_up")
    assert (details["deliveries"], details["count"]) == (sorted(ids)[:100], 101)
