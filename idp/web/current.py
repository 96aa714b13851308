"""Who is signed in in this browser, asked once per request with one statement.

Noting the activity happens after the answer was made, in a transaction of its own and at most once a minute; when that
fails, the answer stands, because a busy database must not turn a page that was read into an error.
"""

import structlog
from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from idp.db.engine import DatabaseBusy
from idp.sessions import CurrentSession, find_current, touch
from idp.web.cookies import read_handle
from idp.web.services import current_services

log = structlog.get_logger(__name__)


def current_session() -> CurrentSession | None:
    """The live session of this request's cookie, or None. Remembered for this request only.

    A cookie whose secret was renewed less than 30 s ago still reads, for tabs that loaded at the same time; it changes
    nothing any more (design §3).
    """
    if "current_session" not in g:
        services = current_services()
        handle = read_handle(request)
        g.current_session = None
        if handle:
            with services.database.single_reads() as statements:
                session = find_current(statements, handle=handle, now=services.clock.now(), policy=services.policy)
            if session is not None and (request.method in {"GET", "HEAD"} or not session.was_previous_secret):
                g.current_session = session
    found: CurrentSession | None = g.current_session
    return found


def forget_current_session() -> None:
    """After this request has started or ended a session: what was read before no longer holds."""
    g.pop("current_session", None)


def init_current_session(app: Flask) -> None:
    """Note activity after each answer to a signed-in browser."""

    @app.after_request
    def note_activity(response: Response) -> Response:
        session: CurrentSession | None = g.get("current_session")
        if session is not None and session.needs_touch:
            services = current_services()
            try:
                with services.database.transaction() as tx:
                    touch(tx, session_id=session.id, now=services.clock.now())
            except (SQLAlchemyError, DatabaseBusy) as problem:
                log.warning("activity_not_noted", problem=type(problem).__name__)
        return response
