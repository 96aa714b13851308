"""/account/activity: what happened in a person's account, in plain words; searched, and taken along as a file.

Reads only, and only the trail of whoever is signed in. Two statements for a page, three for a search that had to stop:
its price does not grow with the history (`idp.audit.history`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from flask import Response, request

from idp import web
from idp.account.activity_export import as_csv, as_json
from idp.account.activity_words import GROUP_NAMES, Activity, Group, kinds_of, shown_activity
from idp.account.desk import blueprint
from idp.account.door import signed_in
from idp.audit.history import MAXIMUM_TEXT, SCAN, HistoryPage, Place, find_history, read_place, write_place
from idp.sessions import CurrentSession
from idp.web.services import Services
from idp.web.views import person_card

# "In the person's history for 90 days" (design §7); an installation may keep less.
LONGEST = timedelta(days=90)
PAGE = 50
EXPORT_PAGE = 500


@dataclass(frozen=True)
class Wanted:
    """What the person looks for: one group or all, a text or none."""

    group: Group | None
    text: str

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is left out."""
        return self.group is not None or bool(self.text)

    def path(self, name: str = "activity", **more: str) -> str:
        """The address of this view, or of its file."""
        asked = {"group": self.group or "", "q": self.text, **more}
        query = urlencode({key: value for key, value in asked.items() if value})
        return web.own_url(f"/account/{name}" + (f"?{query}" if query else ""))


@blueprint.get("/account/activity")
@signed_in
def show_activity(session: CurrentSession) -> Response:
    """The page "Activity"."""
    wanted, after = _wanted(), read_place(request.args.get("after"))
    found = _find(web.current_services(), session.user_id, wanted, after, PAGE)
    return web.page(
        "account_activity.html",
        tab="activity",
        person=person_card(session),
        notice=None,
        entries=tuple(shown_activity(row) for row in found.rows),
        groups=tuple((group.value, GROUP_NAMES[group], group is wanted.group) for group in Group),
        text=wanted.text,
        maximum_text=MAXIMUM_TEXT,
        is_narrowed=wanted.is_narrowed,
        searched_to=found.searched_to if wanted.is_narrowed else None,
        older_path=wanted.path(after=write_place(found.older)) if found.older else None,
        newest_path=wanted.path() if after else None,
        everything_path=Wanted(None, "").path(),
        csv_path=wanted.path("activity.csv"),
        json_path=wanted.path("activity.json"),
        days=_kept(web.current_services()).days,
    )


@blueprint.get("/account/activity.csv")
@signed_in
def export_csv(session: CurrentSession) -> Response:
    """What the page shows, all of it, for a spreadsheet (RFC 4180)."""
    return _file(as_csv(_all(web.current_services(), session.user_id, _wanted())), "text/csv; charset=utf-8", "csv")


@blueprint.get("/account/activity.json")
@signed_in
def export_json(session: CurrentSession) -> Response:
    """What the page shows, all of it, for a program."""
    return _file(as_json(_all(web.current_services(), session.user_id, _wanted())), "application/json", "json")


def _wanted() -> Wanted:
    asked = request.args.get("group", "")
    return Wanted(
        Group(asked) if asked in set(Group) else None,  # an unknown group is none: old links go on working
        " ".join(request.args.get("q", "").split())[:MAXIMUM_TEXT],
    )


def _find(services: Services, user_id: str, wanted: Wanted, after: Place | None, limit: int) -> HistoryPage:
    with services.database.reading() as tx:
        return find_history(
            tx,
            user_id=user_id,
            since=services.clock.now() - _kept(services),
            kinds=kinds_of(wanted.group),
            text=wanted.text,
            after=after,
            limit=limit,
            # Only a search reads more than it shows: without one nearly every row is shown.
            scan=SCAN if wanted.is_narrowed else 2 * limit,
        )


def _all(services: Services, user_id: str, wanted: Wanted) -> Iterator[Activity]:
    """Page after page, each in a transaction of its own: neither memory nor a snapshot is held for the whole."""
    after: Place | None = None
    while True:
        page = _find(services, user_id, wanted, after, EXPORT_PAGE)
        yield from (shown_activity(row) for row in page.rows)
        if page.older is None:
            return
        after = page.older


def _kept(services: Services) -> timedelta:
    return min(LONGEST, services.settings.history_lifetime)


def _file(body: Iterator[str], mimetype: str, extension: str) -> Response:
    response = Response(body, content_type=mimetype)
    response.headers["Content-Disposition"] = f'attachment; filename="activity.{extension}"'
    return response
