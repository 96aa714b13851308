"""Who may come in: only a signed-in person; everybody else is sent to sign in, and back afterwards."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlencode

from flask import Response, request

from idp import web
from idp.sessions import Actor, CurrentSession

Parameters = ParamSpec("Parameters")


def signed_in(
    view: Callable[Concatenate[CurrentSession, Parameters], Response],
) -> Callable[Parameters, Response]:
    """Give the view this browser's live session; without one, answer 303 to the sign-in page.

    After a form there is nothing to come back to but the list: a form is not repeated by itself.
    """

    @wraps(view)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Response:
        session = web.current_session()
        if session is None:
            back = web.own_path(request.full_path.rstrip("?")) if request.method == "GET" else None
            query = urlencode({"next": back or web.own_url("/account/sessions")})
            return web.see_other(web.own_url(f"/login?{query}"))
        return view(session, *args, **kwargs)

    return guarded


def acting(session: CurrentSession) -> Actor:
    """The person as the one who ends something, in this browser: its receipt shows names here and nowhere else."""
    return Actor(
        name="person",
        session_id=session.id,
        ip_address=web.client_address(request),
        browser_binding=web.browser_binding(),
    )
