"""A client's own lifetimes for its part in a browser session: when that is over by time alone, in SQL and in words.

Computed at every check from what the client has today, like the ends of sessions (docs/adr/0015): nothing is stored but
a hint for the sweep. The part of an app in its own session has the lifetimes of that session, and none of these.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select

from idp.clients import ClientTerms
from idp.db.aliases import shared_alias
from idp.db.models import Client, EndReason, Session, SessionClient, SessionKind, TokenFamily
from idp.db.types import micros, to_microseconds
from idp.sessions.policy import ComputedEnd

# Made once: an alias costs SQLAlchemy milliseconds, and every refresh and every check asks.
_FAMILY = shared_alias(TokenFamily)


def has_part_lifetimes(client: Client | ClientTerms) -> bool:
    """Whether the client's part in browser sessions may end before the session does."""
    return client.participation_idle_lifetime is not None or client.participation_absolute_lifetime is not None


def computed_part_end(
    client: Client | ClientTerms, *, started_at: datetime, used_at: datetime | None
) -> ComputedEnd | None:
    """When a part that began then and was used last then is over, and why; None: with its session, and not before.

    `used_at` is the latest use of any of its families: a redemption or a refresh.
    """
    idle, absolute = client.participation_idle_lifetime, client.participation_absolute_lifetime
    ends = []
    if absolute is not None:
        ends.append(ComputedEnd(started_at + absolute, EndReason.PARTICIPATION_EXPIRED))
    if idle is not None:
        ends.append(ComputedEnd(max(started_at, used_at or started_at) + idle, EndReason.PARTICIPATION_IDLE))
    return min(ends, key=lambda end: end.at, default=None)


def is_part_live(
    now: datetime | ColumnElement[int],
    *,
    participation: type[SessionClient] = SessionClient,
    session: type[Session] = Session,
    client: type[Client] = Client,
) -> ColumnElement[bool]:
    """SQL: whether a client's part is within the lifetimes that this client has today. All three are joined already.

    `now` is a moment, or a parameter that holds one in microseconds. Whether the part or its session has *ended* is
    asked besides. Clients without lifetimes of their own, nearly all, cost two looks at a row that is at hand.
    """
    moment = to_microseconds(now) if isinstance(now, datetime) else now
    idle, absolute = micros(client.participation_idle_lifetime), micros(client.participation_absolute_lifetime)
    is_used = exists(
        select(_FAMILY.id)
        .where(_FAMILY.session_client_id == participation.id, micros(_FAMILY.last_used_at) + idle > moment)
        .correlate(participation, client)
    )
    return or_(
        and_(client.participation_idle_lifetime.is_(None), client.participation_absolute_lifetime.is_(None)),
        session.kind == SessionKind.APP,
        and_(
            or_(client.participation_absolute_lifetime.is_(None), micros(participation.started_at) + absolute > moment),
            or_(
                client.participation_idle_lifetime.is_(None),
                micros(participation.started_at) + idle > moment,
                is_used,
            ),
        ),
    )


def part_end() -> ColumnElement[int | None]:
    """SQL: the moment of `computed_part_end` for the joined `SessionClient` and `Client`, in microseconds, or null."""
    used_at = (
        select(func.max(micros(_FAMILY.last_used_at)))
        .where(_FAMILY.session_client_id == SessionClient.id)
        .correlate(SessionClient)
        .scalar_subquery()
    )
    started_at = micros(SessionClient.started_at)
    latest = case((used_at > started_at, used_at), else_=started_at)
    by_idling = latest + micros(Client.participation_idle_lifetime)
    by_age = started_at + micros(Client.participation_absolute_lifetime)
    # A comparison with null is not true: whichever of the two there is comes out.
    return case((or_(by_idling < by_age, by_age.is_(None)), by_idling), else_=by_age)
