"""What went wrong with the database, in the words of one log line: never a value that a driver quotes."""

from sqlalchemy.exc import DBAPIError


def describe(error: Exception) -> str:
    """What happened, for a log line: the first line only, since drivers quote values in the following ones."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines() if isinstance(error, DBAPIError) else []
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__
