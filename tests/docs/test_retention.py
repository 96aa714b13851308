"""docs/how-to/retention-and-purge.md names every sort of rows that is deleted, in the words of `idp purge`."""

from idp.retention import KINDS
from tests.docs.pages import ROOT, table_under

PAGE = ROOT / "docs" / "how-to" / "retention-and-purge.md"


def test_the_page_names_what_is_deleted_and_nothing_else() -> None:
    rows = list(table_under(PAGE, "What is deleted, and when"))

    assert [row[0] for row in rows] == [kind.words for kind in KINDS]
    assert all(len(row) == 3 and all(row) for row in rows)
