"""Whether this node can serve: one function per check, each a fact about now with the sentence that tells what to do.

Used by `/readyz` and by `idp doctor`. A check *fails* when an answer of this node could be wrong or an error (no
database, another schema, no key, a clock that is off: design §5); what only makes things late is a *warning*.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import text

from idp import mail, outbox
from idp.clients import find_id_token_algorithms
from idp.db.encoding import find_lacking_encoding
from idp.db.engine import Database
from idp.db.migrate import SchemaState, find_schema_state
from idp.keys import KeyUnavailable
from idp.kit.clock import Clock
from idp.retention.memory import find_newest, has_gone_back, recall, remember
from idp.web.services import Services

ALWAYS_NEEDED = "ES256"  # access tokens
LARGEST_CLOCK_DIFFERENCE = timedelta(seconds=2)
SILENT_WORKER = timedelta(minutes=1)
OVERDUE_NOTICE = timedelta(minutes=1)
OVERDUE_MAIL = timedelta(minutes=5)
OLD_MAIL = timedelta(minutes=15)


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One finding. `message` is for operators: what is wrong and what to do, or what is right."""

    name: str
    state: State
    message: str


def check_node(services: Services) -> Iterator[Check]:
    """All checks, in the order in which the later make sense only after the earlier. Raises what the database raises.

    The caller bounds the time (`idp.operation.readiness`), and reports an exception as the database's failure.
    """
    schema = check_schema(services.database)
    yield check_database(services.database)
    yield schema
    if schema.state is State.FAILED:
        return
    yield check_clock(services.database, services.clock)
    yield check_keys(services)
    now = services.clock.now()
    yield check_worker(services, now)
    yield check_queue(services, now)
    yield check_mail(services, now)
    yield check_history(services, now)


def check_database(database: Database) -> Check:
    """That it answers, and that it can hold what people are called."""
    lacking = find_lacking_encoding(database.engine)
    if lacking is not None:
        message = (
            f"It answers, but keeps texts in {lacking}: people whose names need other characters get errors. Dump it, "
            "make a database with ENCODING 'UTF8', and restore into that one."
        )
        return Check("database", State.WARNING, message)
    return Check("database", State.OK, "It answers.")


def check_schema(database: Database) -> Check:
    """Whether this version can work on the database's schema: its own, or a newer one (design §11)."""
    match find_schema_state(database.engine):
        case SchemaState.CURRENT:
            return Check("schema", State.OK, "It is this version's.")
        case SchemaState.AHEAD:
            return Check("schema", State.OK, "It is a newer version's, which this one can work on.")
        case SchemaState.BEHIND:
            message = "The database has an older schema than this version needs. Run `idp db upgrade`."
            return Check("schema", State.FAILED, message)
        case SchemaState.EMPTY:
            return Check("schema", State.FAILED, "The database is empty. Run `idp init`.")


def check_clock(database: Database, clock: Clock) -> Check:
    """How far our clock is from the database's. Leeways and ends compare moments of several nodes."""
    if database.is_sqlite:
        return Check("clock", State.OK, "Node and database share one.")
    difference = measure_clock_difference(database, clock)
    words = f"{difference.total_seconds():.1f} s from the database's"
    if difference > LARGEST_CLOCK_DIFFERENCE:
        most = int(LARGEST_CLOCK_DIFFERENCE.total_seconds())
        message = f"This node's clock is {words}, more than {most} s. Let both keep time by NTP (chrony)."
        return Check("clock", State.FAILED, message)
    return Check("clock", State.OK, f"It is {words}.")


def measure_clock_difference(database: Database, clock: Clock) -> timedelta:
    """How far apart the clocks are at the least: half of the time that asking took is given the benefit."""
    with database.reading() as tx:
        before = clock.now()
        theirs: datetime = tx.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = clock.now()
    on_the_way = (after - before) / 2
    return max(timedelta(0), abs(theirs.astimezone(UTC) - (before + on_the_way)) - on_the_way)


def check_keys(services: Services) -> Check:
    """A key that can sign for every algorithm that is wanted: access tokens, and each client's ID tokens."""
    with services.database.reading() as tx:
        wanted = {ALWAYS_NEEDED, *find_id_token_algorithms(tx)}
    now = services.clock.now()
    missing = sorted(algorithm for algorithm in wanted if not _can_sign(services, algorithm, now))
    if missing:
        names = " and ".join(missing)
        return Check("keys", State.FAILED, f"No key can sign {names}. Run `idp keys list`, then `idp init`.")
    return Check("keys", State.OK, f"There is one for each of {', '.join(sorted(wanted))}.")


def _can_sign(services: Services, algorithm: str, now: datetime) -> bool:
    try:
        services.keys.signer(algorithm, now)
    except KeyUnavailable:
        return False
    return True


def check_worker(services: Services, now: datetime) -> Check:
    """Whether a worker has reported lately. Without one, notices wait and expired sessions are not written down."""
    with services.database.reading() as tx:
        seen_at = outbox.find_last_report(tx)
    silent = State.FAILED if services.settings.readiness_needs_worker else State.WARNING
    if seen_at is None:
        return Check(
            "worker", silent, "None has reported. Start `idp worker`, or `idp serve` without --without-worker."
        )
    age = max(timedelta(0), now - seen_at)
    words = f"The last report is {_in_words(age)} old."
    if age > SILENT_WORKER:
        return Check("worker", silent, f"{words} See the worker's log; applications are not told of sign-outs.")
    return Check("worker", State.OK, words)


def check_queue(services: Services, now: datetime) -> Check:
    """Whether notices leave when they are due."""
    with services.database.reading() as tx:
        backlog = outbox.measure_backlog(tx, now=now)
    if backlog.overdue > OVERDUE_NOTICE:
        message = f"{backlog.pending} wait, one for {_in_words(backlog.overdue)} longer than it should. Add workers."
        return Check("queue", State.WARNING, message)
    return Check("queue", State.OK, f"{backlog.pending} wait.")


def check_mail(services: Services, now: datetime) -> Check:
    """Whether mail leaves. Without it nobody learns that an old copy of a token was used."""
    with services.database.reading() as tx:
        waiting = mail.measure_mail(tx, now=now)
    remedy = "See `mail_attempted` in the worker's log, and IDP_SMTP_HOST with its companions."
    if waiting.given_up:
        return Check("mail", State.WARNING, f"{waiting.given_up} given up within a day. {remedy}")
    if waiting.overdue > OVERDUE_MAIL:
        message = f"{waiting.pending} wait, one for {_in_words(waiting.overdue)} longer than it should. Add workers."
        return Check("mail", State.WARNING, message)
    if waiting.oldest > OLD_MAIL:
        message = f"{waiting.pending} wait, the oldest for {_in_words(waiting.oldest)}. {remedy}"
        return Check("mail", State.WARNING, message)
    if not services.settings.smtp_host:
        return Check("mail", State.OK, "No mail server is set (IDP_SMTP_HOST): nobody is written to.")
    return Check("mail", State.OK, f"{waiting.pending} wait.")


def check_history(services: Services, now: datetime) -> Check:
    """Whether the database still holds what this node saw in it: a restored one must be made safe first (design §5)."""
    settings = services.settings
    seen = recall(settings)
    with services.database.reading() as tx:
        newest = find_newest(tx)
        is_older = seen is not None and has_gone_back(tx, seen, settings=settings, now=now)
    if seen is not None and is_older:
        message = (
            f"The database is older than what this node saw in it at {seen.at:%Y-%m-%d %H:%M:%S} UTC. If a back-up was "
            "restored, run `idp db restored --since …`. If it is another database on purpose, delete last-seen.json in "
            "IDP_VAR_DIR."
        )
        return Check("history", State.FAILED, message)
    try:
        if newest is not None and newest != seen:
            remember(settings, newest)
    except OSError:
        return Check("history", State.WARNING, "IDP_VAR_DIR can't be written: a restored back-up goes unnoticed.")
    return Check("history", State.OK, "The database holds what this node saw in it.")


def _in_words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


CheckNode = Callable[[Services], Iterator[Check]]
