"""The page "Activity": what happened, in words; found again; taken along as a file. Nothing of other people."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

from sqlalchemy import event, insert

from idp import audit
from idp.db.models import AuditEvent, EndReason, User
from idp.kit.identifiers import new_identifier, shard_key_in
from tests.support.pages import Page, Site, Visitor


def note(site: Site, person: User, kind: str, **given: Any) -> None:
    with site.heart.database.transaction() as tx:
        audit.record(tx, kind, now=site.heart.now, user_id=person.id, **given)


def rows_of(browser: Visitor, query: str = "") -> list[dict[str, str]]:
    text = browser.get(f"/account/activity.csv{query}").text
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_sign_ins_failed_attempts_and_ends_are_told_in_words(site: Site) -> None:
    ada = site.person("ada")
    stranger = site.visitor(address="203.0.113.9", user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/142.0.0.0 Safari/1")
    assert stranger.sign_in("ada", "a wrong guess").status_code == 403
    old = site.heart.sign_in(ada)
    site.heart.clock.advance(hours=25)
    site.heart.sweep()
    here = site.signed_in("ada")

    text = here.page("/account/activity").text

    assert "You signed in" in text
    assert "Somebody tried to sign in with a wrong password" in text
    assert "IP address 203.0.113.9" in text
    assert "Firefox 145 on Linux was signed out It was not used for 25 hours" in text
    assert f"/account/sessions/{old.session_id}" in here.page("/account/activity").links.values()


def test_a_refresh_that_skipped_and_approvals_are_told(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    tool = site.heart.client(name="Drydock")
    held = site.heart.tokens_for(site.heart.sign_in(ada), tool, "openid offline_access")
    site.heart.refresh(held, tool)
    site.heart.clock.advance(seconds=30)
    site.heart.refresh(held, tool)

    text = here.page("/account/activity").text

    assert "You signed in to Drydock, which keeps its own sign-in" in text
    assert "Drydock renewed its access with the key before the last one" in text


def test_nothing_of_another_person_is_shown_searched_or_exported(site: Site) -> None:
    site.person("ada")
    eve = site.person("eve")
    site.signed_in("eve", address="198.51.100.66")
    note(site, eve, "sign_in_refused", ip_address="198.51.100.66", details={"agent": "EveBrowser"})
    here = site.signed_in("ada")

    pages = [here.get(f"/account/activity{path}").text for path in ("", "?q=198.51", ".csv", ".json", ".csv?q=Eve")]

    for page in pages:
        assert "198.51.100.66" not in page
        assert "EveBrowser" not in page


def test_the_address_of_another_person_who_signed_in_in_the_same_browser_is_not_told(site: Site) -> None:
    ada = site.person("ada")
    note(
        site,
        ada,
        "sessions_ended",
        ip_address="198.51.100.66",
        details={"reason": EndReason.OTHER_PERSON_SIGNED_IN, "browsers": 1, "apps": 0},
    )

    text = site.signed_in("ada").page("/account/activity").text

    assert "Another person signed in in the same browser" in text
    assert "198.51.100.66" not in text


def test_whoever_is_not_signed_in_is_sent_to_sign_in(site: Site) -> None:
    for path in ("/account/activity", "/account/activity.csv", "/account/activity.json"):
        response = site.visitor().get(path)

        assert response.status_code == 303
        assert response.location.startswith("/login?next=")


def test_a_history_is_narrowed_by_group_and_by_text_and_keeps_both_on_the_next_page(site: Site) -> None:
    ada = site.person("ada")
    for number in range(60):
        note(site, ada, "sign_in_refused", ip_address=f"203.0.113.{number}", details={"agent": "Curl"})
    here = site.signed_in("ada")

    first = here.page("/account/activity?group=failed&q=203.0.113.")
    second = here.page(first.links["Show older"])

    assert "You signed in" not in first.text
    assert first.text.count("wrong password") == 50
    assert second.text.count("wrong password") == 10
    assert "Show older" not in second.links
    assert second.links["Back to the newest"] == "/account/activity?group=failed&q=203.0.113."


def test_a_new_account_and_a_search_without_success_say_what_to_expect(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    found = here.page("/account/activity?q=nothing+like+it")
    with site.heart.database.transaction() as tx:
        tx.execute(AuditEvent.__table__.delete().where(AuditEvent.user_id == ada.id))  # type: ignore[attr-defined]
    empty = here.page("/account/activity")

    assert "Nothing in the last 90 days matches." in found.text
    assert found.links["Show everything"] == "/account/activity"
    assert "Nothing happened yet" in empty.text


def test_a_query_that_makes_no_sense_is_no_error(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")

    for query in ("?group=nonsense", "?after=junk", "?after=OTk5", "?q=%25", "?q=" + "x" * 3000):
        assert here.get(f"/account/activity{query}").status_code == 200, query
    for query in ("?q=%00", "?q=%FF", "?after=%00", "?group=%00"):
        assert here.get(f"/account/activity{query}").status_code == 400, query


def test_the_csv_file_has_what_the_page_shows(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")
    response = here.get("/account/activity.csv")

    rows = rows_of(here)

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="activity.csv"'
    assert response.headers["Cache-Control"] == "no-store"
    [signed_in] = [row for row in rows if row["kind"] == "sign_in"]
    assert (signed_in["what"], signed_in["device"]) == ("You signed in", "Firefox 143 on Linux")
    assert (signed_in["time"], signed_in["ip_address"]) == ("2026-11-21T09:30:00Z", "192.0.2.7")


def test_nothing_in_the_csv_file_is_a_formula(site: Site) -> None:
    ada = site.person("ada")
    hostile = ["=HYPERLINK(1)", "+1", "-1", "@SUM", "  =1", "＝1", "\t=1", '",=1', "a\r\n=1"]
    for agent in hostile:
        note(site, ada, "sign_in_refused", details={"agent": agent})
    here = site.signed_in("ada")

    cells = [value for row in rows_of(here) for value in row.values()]

    assert all(any(agent.strip() in cell for cell in cells) for agent in hostile)
    assert [cell for cell in cells if cell.lstrip(" ")[:1] in tuple("=+-@＝\t")] == []


def test_the_json_file_is_one_document_also_when_it_is_empty(site: Site) -> None:
    site.person("ada")
    here = site.signed_in("ada")

    entries = json.loads(here.get("/account/activity.json").text)["entries"]

    assert {entry["kind"] for entry in entries} == {"user_created", "sign_in"}
    assert json.loads(here.get("/account/activity.json?q=nothing").text) == {"entries": []}


def test_a_file_has_all_pages_and_is_written_while_it_is_read(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    fill(site, ada, 1200)
    statements: list[str] = []
    event.listen(site.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))

    response = here.client.get("/account/activity.csv", buffered=False)
    body = response.iter_encoded()
    header = next(body)
    read_before = [text for text in statements if "audit_events" in text]

    assert header.startswith(b"\xef\xbb\xbftime,kind,what")
    assert read_before == []  # nothing is read before it is wanted
    assert sum(1 for _ in body) == 1202
    assert len([text for text in statements if "audit_events" in text]) == 4


def test_what_is_older_than_ninety_days_or_than_the_installation_keeps_is_not_shown(open_site: Any) -> None:
    site = open_site(issuer="http://localhost", history_lifetime=timedelta(days=10))
    ada = site.person("ada")
    site.heart.clock.advance(days=11)
    note(site, ada, "password_set", actor="administrator:cli")

    page: Page = site.signed_in("ada").page("/account/activity")

    assert "in the last 10 days" in page.text
    assert "An administrator set your password" in page.text
    assert "Your account was made" not in page.text


def fill(site: Site, person: User, count: int) -> None:
    shard = shard_key_in(person.id)
    moments = [site.heart.now.replace(microsecond=number) for number in range(count)]
    with site.heart.database.transaction() as tx:
        tx.execute(
            insert(AuditEvent),
            [
                {"id": new_identifier(shard, at), "occurred_at": at, "kind": "sign_in", "user_id": person.id}
                for at in moments
            ],
        )
