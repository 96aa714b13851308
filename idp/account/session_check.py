"""/account/session-check: asked by our own open pages whether what they show is still somebody's to see.

One statement while the browser is signed in, no page, no cookie, and no activity: a tab that asks every minute must not
keep a session from idling out. Says nothing that the page did not know, but why it is over.
"""

from flask import Response, jsonify, request

from idp import web
from idp.account.desk import blueprint
from idp.sessions import SessionPolicy
from idp.sessions.why import why_ended
from idp.web.pages import session_marker
from idp.web.reasons import reason_at_sign_in


@blueprint.get("/account/session-check")
def check_session() -> Response:
    """`{"signed_in": true, "session": …}`, or `{"signed_in": false, "reason": …}` with a sentence or null."""
    session = web.current_session()
    web.forget_current_session()  # or the answer would be followed by a note of activity
    if session is not None:
        return jsonify({"signed_in": True, "session": session_marker(session)})
    services, handle = web.current_services(), web.read_handle(request)
    reason = None
    if handle is not None:
        with services.database.reading() as tx:
            policy = SessionPolicy.today(tx, services.settings)
            why = why_ended(tx, handle=handle, now=services.clock.now(), policy=policy)
        reason = reason_at_sign_in(why)
    return jsonify({"signed_in": False, "reason": reason})
