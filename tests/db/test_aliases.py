"""An alias that threads share names the right table, whoever asks it first."""

import sys
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from idp.db.aliases import shared_alias
from idp.db.models import Client


@pytest.fixture
def _threads_take_turns_all_the_time() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
def test_threads_that_are_the_first_to_ask_at_once_all_get_the_aliass_own_column() -> None:
    """With SQLAlchemy's `aliased` alone about one race in ten gives a column of the table itself."""
    for _ in range(200):
        alias = shared_alias(Client)
        barrier, statements = threading.Barrier(4), []

        def ask(alias: type[Client], barrier: threading.Barrier, statements: list[str]) -> None:
            barrier.wait(30)
            statements.append(str(select(alias.refresh_extends_session)))

        threads = [threading.Thread(target=ask, args=(alias, barrier, statements)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert len(statements) == 4
        assert not [statement for statement in statements if "clients.refresh_extends_session" in statement]
