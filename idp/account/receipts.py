"""/account/receipts and /account/receipts/<id>: what each act ended and who was told, for its person, for 90 days.

The same receipt has a public address (`idp.logout`), for whoever just signed out and has no session any more. Here a
session is needed, and the person's own: somebody else's receipt is as unknown as one that never was.
"""

from urllib.parse import urlencode

from flask import Response, jsonify, request
from werkzeug.exceptions import NotFound

from idp import web
from idp.account.desk import blueprint
from idp.account.door import signed_in
from idp.account.shown_receipts import shown_receipts
from idp.audit.history import read_place, write_place
from idp.kit.uris import origin_of
from idp.sessions import CurrentSession, find_own_receipt
from idp.sessions.receipt import HISTORY_LIFETIME
from idp.sessions.receipt_list import list_receipts
from idp.web.notices import take_notice
from idp.web.reasons import reason_in_history
from idp.web.receipts import receipt_json, receipt_view, wants_json
from idp.web.views import person_card


@blueprint.get("/account/receipts")
@signed_in
def show_receipts(session: CurrentSession) -> Response:
    """Every sign-out of 90 days, the newest first. Four statements with that for the cookie."""
    services = web.current_services()
    now = services.clock.now()
    after = read_place(request.args.get("after"))
    with services.database.reading() as tx:
        page = list_receipts(tx, user_id=session.user_id, after=after, now=now)
    older = urlencode({"after": write_place(page.older)}) if page.older else None
    return web.page(
        "account_receipts.html",
        tab="activity",
        person=person_card(session),
        notice=take_notice(),
        receipts=shown_receipts(page.rows, now=now),
        older_path=web.own_url(f"/account/receipts?{older}") if older else None,
        newest_path=web.own_url("/account/receipts") if after else None,
        days=HISTORY_LIFETIME.days,
    )


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
            reason=reason_in_history(receipt.reason, of_many=receipt.browsers + receipt.apps > 1),
        )
    response.headers["Vary"] = "Accept, Cookie"
    return response
