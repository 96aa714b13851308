"""/signed-out and /signed-out/<receipt>: "You are signed out", who was told, and when the last access ends.

Here a browser opens the addresses of Front-Channel Logout, unseen, and goes on. Never back to sign-in, which might sign
in again (lesson 9). Nothing here changes anything.
"""

from flask import Response, jsonify, request

from idp import sessions, web
from idp.kit.uris import origin_of
from idp.logout.desk import blueprint
from idp.logout.question import Question, find_question
from idp.web.receipts import receipt_json, receipt_view, wants_json
from idp.web.views import Link


@blueprint.get("/signed-out")
def signed_out() -> Response:
    """ "You are signed out", without particulars. Never back to sign-in, which might sign in again (lesson 9)."""
    return _unindexed(web.page("signed_out.html", receipt=None, return_to=None, go_on=False, is_signed_in=False))


@blueprint.get("/signed-out/<handle>")
def show_receipt(handle: str) -> Response:
    """The receipt, for 24 hours, as a page or (`Accept: application/json`) as JSON.

    Its address is a secret, so it is neither indexed nor passed on; elsewhere it shows nothing personal.
    """
    services = web.current_services()
    now = services.clock.now()
    with services.database.reading() as tx:
        receipt = sessions.find_receipt(tx, handle=handle, browser_binding=web.known_browser_binding(), now=now)
        _, question = find_question(tx, now)
    as_json = wants_json(request.accept_mimetypes)
    if receipt is None:
        return _unindexed(_gone_as_json() if as_json else _gone())
    if as_json:
        return _unindexed(jsonify(receipt_json(receipt, now=now)))
    view = receipt_view(receipt, now=now, settings=services.settings)
    # The receipt of another device or tool is read by somebody who is still signed in here.
    is_signed_in = web.current_session() is not None
    return _unindexed(
        web.page(
            "signed_out.html",
            frame_src=list(dict.fromkeys(origin_of(address) for address in view.frames)),
            receipt=view,
            return_to=_link_back(question),
            # Front-Channel Logout §4: once the applications were asked, the person goes on by themselves.
            go_on=question.return_address is not None and bool(view.frames),
            is_signed_in=is_signed_in,
        )
    )


def _link_back(question: Question) -> Link | None:
    if question.return_address is None:
        return None
    return Link(question.client.name if question.client else "the application", question.return_address)


def _gone() -> Response:
    return web.error_page(
        404,
        "This receipt is not kept any more",
        "A receipt's address works for 24 hours after signing out.",
        "Your account page shows what ended and why, for 90 days.",
        home=True,
    )


def _gone_as_json() -> Response:
    response = jsonify({"error": "not_found", "error_description": "A receipt's address works for 24 hours."})
    response.status_code = 404
    return response


def _unindexed(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Vary"] = "Accept, Cookie"
    return response
