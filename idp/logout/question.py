"""What is put aside while a person is asked, or while applications are told: where they go afterwards.

The address was verified when it was put aside, and stays with us, bound to this browser: an address that came back in a
link could lead anywhere.
"""

from dataclasses import dataclass
from datetime import datetime

from flask import request

from idp import web
from idp.db.engine import Tx
from idp.db.models import Client, StoredRequestKind
from idp.sessions import Ended
from idp.web import stored_requests
from idp.web.stored_requests import PutAside


@dataclass(frozen=True)
class Question:
    """What the question page has to know: which application asked, and where the person goes afterwards."""

    handle: str
    client: Client | None
    return_address: str | None
    ended_app: str | None


def find_question(tx: Tx, now: datetime) -> tuple[PutAside | None, Question]:
    """What this request's `request` parameter was put aside with; an empty question for everything else."""
    handle = request.args.get("request", "")
    binding = web.known_browser_binding()
    stored = (
        stored_requests.find(tx, handle, kind=StoredRequestKind.LOGOUT, browser=binding, now=now) if handle else None
    )
    if stored is None or "posted" in stored.parameters:
        return None, Question("", None, None, None)
    client = tx.get(Client, stored.client_id) if stored.client_id else None
    return stored, Question(handle, client, stored.parameters.get("return_address"), stored.parameters.get("ended_app"))


def keep_way_back(
    tx: Tx, ended: Ended | None, client_id: str | None, return_address: str | None, now: datetime
) -> str | None:
    """The handle of a way back that the receipt offers, when this browser has applications to ask first.

    The verified address stays with us, bound to this browser: an address in a link could lead anywhere.
    """
    if ended is None or not ended.frontchannel or return_address is None:
        return None
    return stored_requests.store(
        tx,
        kind=StoredRequestKind.LOGOUT,
        client_id=client_id,
        parameters={"return_address": return_address, "ended_app": None},
        browser=web.browser_binding(),
        now=now,
        settings=web.current_services().settings,
    )
