"""The sentences for errors that a command can meet anywhere: a database that is away, settings that can't be right."""

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from idp.db.engine import DatabaseBusy
from idp.keys import KeyUnavailable
from idp.kit.keyring import CannotUnseal
from idp.settings import SettingsError


def explain(error: Exception) -> str | None:
    """What went wrong and what to do, for the person at the shell; None for what nobody expected."""
    match error:
        case SettingsError():
            return str(error)
        case CannotUnseal():
            return (
                "The signing keys were sealed under another secret. "
                "Set IDP_SECRET to the one this database began with; "
                "if it was changed, name the old one in IDP_SECRET_PREVIOUS, or after a leak in IDP_SECRET_LEAKED."
            )
        case KeyUnavailable(__cause__=CannotUnseal() as cause):
            return explain(cause)
        case KeyUnavailable():
            return "No signing key can be used. Run `idp init`, which makes those that are missing."
        case DatabaseBusy() | PoolTimeoutError():
            return "The database is busy with other writers. Nothing was changed; try again in a moment."
        case OperationalError(orig=cause):
            reason = next(iter(str(cause).splitlines()), type(cause).__name__).rstrip(".")
            return f"The database can't be used ({reason}). Check that it runs and that IDP_DATABASE_URL is right."
        case DBAPIError(orig=cause):
            reason = next(iter(str(cause).splitlines()), type(cause).__name__).rstrip(".")
            return f"The database refused ({reason}). Nothing was changed; `idp db upgrade` may be missing."
        case OSError(filename=filename, strerror=strerror) if filename:
            return f"{filename}: {strerror}. Check the folder and its permissions (IDP_VAR_DIR names another)."
        case _:
            return None
