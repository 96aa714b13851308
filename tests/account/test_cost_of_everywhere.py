"""What "Sign out everywhere" costs a person who takes part in 50 applications with 20 browsers: 1,000 times."""

import time
from collections import Counter
from datetime import timedelta

from sqlalchemy import insert

from idp.db.models import (
    DeliveryState,
    GrantType,
    LogoutDelivery,
    Session,
    SessionClient,
    SessionKind,
    TokenFamily,
    User,
)
from idp.kit.identifiers import new_identifier, shard_key_in
from tests.support.pages import Site
from tests.support.statements import statements_of

BROWSERS, CLIENTS, RUNS = 20, 50, 3


def takes_part_everywhere(site: Site, person: User, client_ids: list[str]) -> None:
    """Live browser sessions in which every one of these applications has tokens."""
    now, shard = site.heart.now, shard_key_in(person.id)
    sessions, parts, families = [], [], []
    for _ in range(BROWSERS):
        session_id = new_identifier(shard, now)
        sessions.append(
            {"id": session_id, "user_id": person.id, "kind": SessionKind.BROWSER, "secret_hash": b"no cookie has this"}
            | {"auth_time": now, "amr": ["pwd"], "started_at": now, "last_active_at": now}
            | {"sweep_at": now + timedelta(days=1)}
        )
        for client_id in client_ids:
            part_id = new_identifier(shard, now)
            parts.append(
                {"id": part_id, "session_id": session_id, "client_id": client_id, "sid": part_id, "started_at": now}
            )
            families.append(
                {"id": new_identifier(shard, now), "client_id": client_id, "user_id": person.id}
                | {"session_id": session_id, "session_client_id": part_id, "grant_type": GrantType.AUTHORIZATION_CODE}
                | {"secret_hash": b"hash", "last_used_at": now, "access_expires_at": now + timedelta(minutes=5)}
                | {"scope": ("openid",), "resources": [], "started_at": now}
            )
    with site.heart.database.transaction() as tx:
        for model, rows in ((Session, sessions), (SessionClient, parts), (TokenFamily, families)):
            tx.execute(insert(model), rows)


def test_a_thousand_participations_end_with_few_statements_and_a_short_receipt(site: Site) -> None:
    clients = [
        site.heart.client(name=f"App {number:02}", backchannel_logout_uri=f"https://app{number}.example/out").id
        for number in range(CLIENTS)
    ]
    took: list[float] = []
    for run in range(RUNS):
        ada = site.person(f"ada{run}")
        here = site.signed_in(f"ada{run}")
        takes_part_everywhere(site, ada, clients)
        question = here.page("/account/sessions/end-everywhere")
        with statements_of(site.engine) as seen:
            started = time.perf_counter()
            answer = here.submit(question.forms[-1], button="confirm-end")
            took.append(time.perf_counter() - started)

        assert answer.status_code == 303
        assert len(seen) <= 13, Counter(seen)
        with statements_of(site.engine) as seen:
            receipt = here.get(answer.location, Accept="application/json").get_json()
        assert len(seen) <= 3
        assert (receipt["pending"], len(receipt["applications"])) == (BROWSERS * CLIENTS, CLIENTS)
    pending = site.heart.all(LogoutDelivery, LogoutDelivery.state == DeliveryState.PENDING)
    assert len(pending) == BROWSERS * CLIENTS * RUNS
    shown = ", ".join(f"{seconds * 1000:.0f} ms" for seconds in took)
    print(f"sign out everywhere, 1,000 participations over 50 clients: {shown}")  # noqa: T201 - a figure
