"""/account/receipts/<id>: what one act ended and who was told, for its person, 90 days, on any of their devices.

The same receipt has a public address (`idp.logout`), for whoever just signed out and has no session any more. Here a
session is needed, and the person's own: somebody else's receipt is as unknown as one that never was.
"""

from flask import Response, jsonify, request
from werkzeug.exceptions import NotFound

from idp import web
from idp.account.desk import blueprint
from idp.account.door import signed_in
from idp.kit.uris import origin_of
from idp.sessions import CurrentSession, find_own_receipt
from idp.web.notices import take_notice
from idp.web.reasons import reason_in_history
from idp.web.receipts import receipt_json, receipt_view, wants_json
from idp.web.views import person_card


@blueprint.get("/account/receipts/<event_id>")
@signed_in
def show_receipt(session: CurrentSession, event_id: str) -> Response:
    """A receipt as a page, or as JSON for `Accept: application/json`."""
    services = web.current_services()
    now = services.clock.now()
    with services.database.reading() as tx:
        receipt = find_own_receipt(
            tx, user_id=session.user_id, event_id=event_id, browser_binding=web.known_browser_binding(), now=now
        )
    if receipt is None:
        raise NotFound
    if wants_json(request.accept_mimetypes):
        response: Response = jsonify(receipt_json(receipt, now=now))
    else:
        view = receipt_view(receipt, now=now, settings=services.settings)
        response = web.page(
            "account_receipt.html",
            frame_src=[origin_of(address) for address in view.frames],
            tab="sessions",
            person=person_card(session),
            notice=take_notice(),
            receipt=view,
            reason=reason_in_history(receipt.reason),
        )
    response.headers["Vary"] = "Accept, Cookie"
    return response
