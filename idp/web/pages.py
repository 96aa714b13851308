"""Rendering: one function for every page, one for error pages.

Templates get only finished values (idp.web.views); a value that is missing is an error here and not an empty place on
the page. What a page may load and where its forms may lead is said by the caller and becomes its policy.
"""

from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, g, make_response, redirect, render_template
from jinja2 import StrictUndefined

from idp.kit.opaque import base64url, hash_secret
from idp.sessions import CurrentSession
from idp.web import times
from idp.web.headers import page_policy
from idp.web.paths import own_url, static_path
from idp.web.services import current_services


def page(
    template: str,
    *,
    status: int = 200,
    form_action: Sequence[str] = (),
    img_src: Sequence[str] = (),
    frame_src: Sequence[str] = (),
    **context: Any,
) -> Response:
    """Render a template. `form_action`, `img_src` and `frame_src` are origins or schemes beyond our own."""
    response = make_response(render_template(template, **context), status)
    response.headers["Content-Security-Policy"] = page_policy(
        form_action=form_action, img_src=img_src, frame_src=frame_src
    )
    return response


def error_page(
    status: int,
    title: str,
    what_happened: str,
    what_to_do: str,
    *,
    error_code: str | None = None,
    action: tuple[str, str] | None = None,
    home: bool = False,
) -> Response:
    """An error for a person: what happened, what to do, and the request's id for whoever helps them.

    `error_code` is the OAuth error, for developers. `action` is a button's (label, path), `home` adds the account page.
    Never put a parameter's value into these texts: a page of ours must not say what a stranger's link tells it to.
    """
    label, path = action or (None, None)
    return page(
        "error.html",
        status=status,
        is_passing=status in {429, 503},
        title=title,
        what_happened=what_happened,
        what_next=what_to_do,
        error_code=error_code,
        action_label=label,
        action_path=path,
        home=home,
    )


def see_other(address: str) -> Response:
    """303 to an address that the caller has verified or made: after a form, so that a reload repeats nothing."""
    response = make_response(redirect(address, code=303))
    # The default body repeats the address as a link: nobody needs it, and receipts should not be copied about.
    response.data = b""
    return response


def session_marker(session: CurrentSession) -> str:
    """What a page keeps of whose it is: enough to notice that another sign-in took its place, and proof of nothing."""
    return base64url(hash_secret(f"page:{session.id}:{session.user_id}")[:12])


def init_templates(app: Flask) -> None:
    """Filters, names and strictness that all templates share."""
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    environment.filters.update(
        at=times.at,
        ago=lambda moment: times.ago(moment, current_services().clock.now()),
        clock=times.clock,
        day=times.day,
        full_time=times.full_time,
        grouped=times.grouped,
        iso=times.iso,
    )
    environment.globals.update(own_url=own_url, static_path=static_path)

    @app.context_processor
    def shared() -> dict[str, Any]:
        return {
            # What stands in the address bar: the one name that a phishing page cannot show there too.
            "site_name": current_services().settings.issuer_origin.partition("://")[2],
            "request_id": g.get("request_id", ""),
            "session_marker": session_marker(session) if (session := g.get("current_session")) else "",
        }
