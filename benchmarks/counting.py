"""Statements and round trips of an operation, as PostgreSQL counts them (`pg_stat_statements`).

Counted in a pass of its own, one request after the other, so that counting costs nothing while time is measured. A
round trip is what the provider waits for: every statement, BEGIN, COMMIT and ROLLBACK included, each of which the
driver sends by itself.
"""

from dataclasses import dataclass

import psycopg

_FRAMES = ("BEGIN", "COMMIT", "ROLLBACK")


@dataclass(frozen=True)
class Counted:
    """Per operation."""

    statements: int
    round_trips: int


def begin_counting(connection: psycopg.Connection) -> None:
    """Count from now on what the provider sends."""
    connection.execute("ALTER SYSTEM SET pg_stat_statements.track = 'top'")
    connection.execute("SELECT pg_reload_conf()")
    connection.execute("SELECT pg_sleep(0.2)")  # every process reads its configuration anew between two statements
    connection.execute("SELECT pg_stat_statements_reset()")


def end_counting(connection: psycopg.Connection, operations: int) -> Counted:
    """What was counted, per operation."""
    found = connection.execute(
        "SELECT query, calls FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid WHERE rolname = 'idp'"
    ).fetchall()
    connection.execute("ALTER SYSTEM RESET pg_stat_statements.track")
    connection.execute("SELECT pg_reload_conf()")
    # Rounded for each text by itself: what is done every ten seconds (reading the keys) is no part of an operation.
    per_operation = [(query.upper().startswith(_FRAMES), round(calls / operations)) for query, calls in found]
    everything = sum(calls for _, calls in per_operation)
    return Counted(everything - sum(calls for is_frame, calls in per_operation if is_frame), everything)
