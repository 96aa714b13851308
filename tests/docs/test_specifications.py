"""docs/specifications.md claims what is there: every row has its code and its test, every marked clause its mention."""

import re

import pytest

from tests.docs.pages import ROOT, table_under
from tests.docs.specifications import marked_tests

PAGE = ROOT / "docs" / "specifications.md"
SECTIONS = ("OpenID Connect", "OAuth 2", "Underneath")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_says_where_it_is_enforced_and_which_test_holds_it(section: str) -> None:
    rows = list(table_under(PAGE, section))

    assert rows
    for clause, _what, enforced, held in rows:
        assert re.search(r"`(?:idp|examples)/[\w/]+(?:\.py)?/?`", enforced), clause
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", held), clause


def test_every_specification_that_a_test_is_marked_with_is_on_the_page() -> None:
    page = PAGE.read_text("utf-8")

    missing = {name for name, _section in marked_tests() if name not in page}

    assert missing == set()


def test_a_mark_is_read_from_functions_and_from_whole_files() -> None:
    found = marked_tests()

    assert ("RFC 9700", "4.14.2") in found
    assert all(re.fullmatch(r"tests/[\w/]+\.py::(?:test_\w+|\*)", test) for tests in found.values() for test in tests)
