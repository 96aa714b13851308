"""/account/applications: what a person has allowed, and taking it back.

Withdrawing marks the consent and ends what the application holds in the same transaction (design §6): its
participations in browser sessions and its app sessions.
"""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, request
from werkzeug.exceptions import BadRequest

from idp import web
from idp.account.desk import blueprint
from idp.account.door import acting, signed_in
from idp.account.ending import after, receipt_link
from idp.clients import find_client, list_consents, withdraw_consent
from idp.db.models import EndReason
from idp.sessions import CurrentSession, end_client_for_user, lock_user
from idp.web.notices import leave_notice, take_notice
from idp.web.views import ClientCard, ScopeLine, client_card, person_card, scope_lines


@dataclass(frozen=True)
class ShownApplication:
    """One application that has access."""

    client_id: str
    client: ClientCard
    since: datetime
    scopes: tuple[ScopeLine, ...]


@blueprint.get("/account/applications")
@signed_in
def show_applications(session: CurrentSession) -> Response:
    """The page "Applications with access"."""
    services = web.current_services()
    with services.database.reading() as tx:
        consents = list_consents(tx, session.user_id)
    shown = tuple(
        ShownApplication(
            client_id=consent.client.id,
            client=client_card(consent.client, consent.client.client_uri),
            since=consent.granted_at,
            scopes=scope_lines(consent.scopes),
        )
        for consent in consents
    )
    images = dict.fromkeys(source for application in shown for source in application.client.image_sources)
    return web.page(
        "account_applications.html",
        img_src=tuple(images),
        tab="applications",
        person=person_card(session),
        notice=take_notice(),
        applications=shown,
    )


@blueprint.post("/account/applications/withdraw")
@signed_in
def withdraw(session: CurrentSession) -> Response:
    """Take back what was allowed to one application, and end what it holds."""
    chosen = request.form.getlist("client_id")
    if len(chosen) != 1:
        raise BadRequest("Name one application.")
    services = web.current_services()
    now = services.clock.now()
    with services.database.transaction() as tx:
        lock_user(tx, session.user_id)  # before the consent (ADR 0005)
        client = find_client(tx, chosen[0])
        withdrawn = client is not None and withdraw_consent(tx, user_id=session.user_id, client_id=client.id, now=now)
        ended = None
        if client is not None and withdrawn:
            ended = end_client_for_user(
                tx,
                user_id=session.user_id,
                client_id=client.id,
                reason=EndReason.CONSENT_WITHDRAWN,
                actor=acting(session),
                settings=services.settings,
                now=now,
            )
    web.count_ended(ended)
    if client is None or not withdrawn:
        leave_notice("That application had no access any more.", tone="info", symbol="info")
    else:
        leave_notice(f"{client.name} has no access any more.", link=receipt_link(ended) if ended else None)
    return after(ended, web.own_url("/account/applications"))
