"""At the start of what runs for long: wait for a database that is not there yet, as after a machine's start.

Waits for what passes by itself (refused, no answer, starting up, too many connections) and for one minute at most;
then, or at once for a wrong password or name, the error is told as to every command. Commands of a moment never wait.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import OperationalError

from idp.db.engine import DatabaseBusy
from idp.db.migrate import find_schema_state
from idp.db.trouble import describe
from idp.web.services import Services

LONGEST_WAIT_SECONDS = 60.0
_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
# A server that answers with another FATAL was reached, and refuses us: time will not help. While connecting there is
# no SQLSTATE to go by (libpq gives none), so these are its words; of a server that speaks another language, none match.
_PASSING = ("starting up", "shutting down", "not yet accepting connections", "in recovery mode", "too many", "reserved")

log = structlog.get_logger("idp.start")


def wait_for_database(
    services: Services,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return as soon as the database can be asked. Raises what the last try raised when it can't within the minute."""
    if services.settings.is_sqlite:  # a file: it is there or it is not
        return
    give_up_at, pause = clock() + LONGEST_WAIT_SECONDS, _SHORTEST_PAUSE_SECONDS
    with _ending_when_terminated():
        while True:
            try:
                find_schema_state(services.database.engine)
            except (OperationalError, DatabaseBusy) as error:
                if not will_pass(error) or clock() + pause > give_up_at:
                    raise
                log.warning("waiting_for_database", error=describe(error), again_in_seconds=pause)
                sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
            else:
                return


def will_pass(error: OperationalError | DatabaseBusy) -> bool:
    """Whether the database may well be there in a moment, without anybody doing anything."""
    text = str(error.orig) if isinstance(error, OperationalError) else ""
    return "FATAL:" not in text or any(words in text for words in _PASSING)


@contextmanager
def _ending_when_terminated() -> Iterator[None]:
    """As the first process of a container we would not hear SIGTERM otherwise, and would be killed much later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
