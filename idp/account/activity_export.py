"""A person's history as a file, written while it is read: neither format holds the whole in memory.

CSV is RFC 4180 with a byte order mark, which spreadsheets need to read it as UTF-8. What begins like a formula is
written as text: a device may call itself `=HYPERLINK(…)`, and a spreadsheet would run that (CSV injection).
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator

from idp.account.activity_words import Activity
from idp.web.times import iso

COLUMNS = ("time", "kind", "what", "note", "application", "device", "ip_address")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
_MARK = "\ufeff"


def as_csv(entries: Iterable[Activity]) -> Iterator[str]:
    """The lines of a CSV file, the header first."""
    yield _MARK + _line(COLUMNS)
    for entry in entries:
        yield _line(tuple(_as_text(value) for value in _values(entry).values()))


def as_json(entries: Iterable[Activity]) -> Iterator[str]:
    """One JSON document, `{"entries": [...]}`, piece by piece."""
    yield '{"entries": ['
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(_values(entry), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def _values(entry: Activity) -> dict[str, str]:
    return {
        "time": iso(entry.occurred_at),
        "kind": entry.kind,
        "what": entry.what,
        "note": entry.note,
        "application": entry.application,
        "device": entry.device,
        "ip_address": entry.ip_address,
    }


def _as_text(value: str) -> str:
    # An apostrophe in front says "text" to spreadsheets. Spaces before a formula do not stop it.
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


def _line(values: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
