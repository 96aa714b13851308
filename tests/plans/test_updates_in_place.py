"""A refresh leaves nothing behind: PostgreSQL updates the family's row where it lies (HOT), and touches no index.

So the table does not grow however often tokens are rotated (design §5); `make bench-growth` measures it at length. One
index on a column that a rotation changes, and not one update would be HOT.
"""

import pytest
from sqlalchemy import text

from idp.tokens import Issued
from tests.support.heart import Heart

ROTATIONS = 40


@pytest.fixture
def database_backend() -> str:
    """PostgreSQL: an embedded database keeps no old versions of rows."""
    return "postgresql"


def updates(heart: Heart) -> tuple[int, int]:
    """How many rows of the table were updated so far, and how many of these in place."""
    with heart.database.engine.connect() as connection:  # the one used last: what it counted is told at once
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        row = connection.execute(
            text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'token_families'")
        ).one()
    return row[0], row[1]


def test_rotations_holds_and_skips_update_the_familys_row_where_it_lies(heart: Heart) -> None:
    client = heart.client(backchannel_logout_uri=None)
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    token, before = first, updates(heart)

    def refresh() -> None:
        nonlocal token
        answer = heart.refresh(presented, client)
        assert isinstance(answer, Issued)
        token = answer

    for number in range(ROTATIONS):
        presented = token
        heart.clock.advance(seconds=11)
        refresh()  # rotates
        heart.clock.advance(seconds=number % 3)
        refresh()  # the answer was lost: holds
        if number % 2:
            heart.clock.advance(seconds=11)
            refresh()  # and lost again: skips

    after = updates(heart)
    done, in_place = after[0] - before[0], after[1] - before[1]
    assert done >= 2 * ROTATIONS, "what was counted is not what was done: the test says nothing"
    assert in_place == done
