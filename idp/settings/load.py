"""Reading the settings: a TOML file that `IDP_CONFIG` names, then `IDP_*` variables, which win.

Unknown and malformed values stop the start with the variable's name and the remedy; nothing else in the house reads the
environment.
"""

import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from idp.kit.opaque import Secret
from idp.settings.dangers import refuse_dangerous
from idp.settings.model import Settings, SettingsError

PREFIX = "IDP_"
_NOT_SETTINGS = {"IDP_CONFIG", "IDP_RUN_FOLDER"}  # the second `idp serve` gives to its children (idp.kit.run_folder)


def load_settings(
    environment: Mapping[str, str] | None = None, *, create_secret: bool = True, **overrides: Any
) -> Settings:
    """Read settings from the TOML file that `IDP_CONFIG` names, then `IDP_*` variables, then `overrides`.

    With the embedded database and no `IDP_SECRET`, a secret is made once in `var_dir` (unless `create_secret` is
    False). Raises `SettingsError`, whose text names the setting and the remedy.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {
        **_read_file(environment.get("IDP_CONFIG")),
        **_read_environment(environment),
        **overrides,
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    if not settings.database_url:
        settings = settings.model_copy(
            update={"database_url": f"sqlite:///{(settings.var_dir / 'idp.sqlite3').absolute()}"}
        )
    if settings.secret is None and settings.is_sqlite:
        settings = settings.model_copy(update={"secret": _embedded_secret(settings.var_dir, create=create_secret)})
    refuse_dangerous(settings)
    return settings


def _read_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"IDP_CONFIG names {path}, which can't be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS or name.startswith("IDP_TEST_"):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in Settings.model_fields:
            raise SettingsError(
                f"{name} is not a setting. docs/settings.md lists them all; remove it or mend its name."
            )
        values[field] = value
    return values


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = PREFIX + str(problem["loc"][0]).upper() if problem["loc"] else "settings"
        if problem["type"] == "extra_forbidden":
            lines.append(
                f"{name.removeprefix(PREFIX).lower()} (in the file) is not a setting. docs/settings.md lists all."
            )
        else:
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}.")
    return "\n".join(lines)


def _embedded_secret(var_dir: Path, *, create: bool) -> Secret | None:
    path = var_dir / "secret"
    if not path.exists():
        if not create:
            return None
        var_dir.mkdir(parents=True, exist_ok=True)
        temporary = var_dir / f".secret-{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails when another process was first: then its secret is the one
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return Secret(path.read_text().strip())
