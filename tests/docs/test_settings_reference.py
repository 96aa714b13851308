"""docs/settings.md and config/example.toml say what `idp.settings.Settings` is: names, types, bounds, defaults."""

import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le

from idp.settings import Settings, load_settings
from idp.settings.dangers import MAY_BE_ZERO

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"
EXAMPLE = ROOT / "config" / "example.toml"
NONE = "–"
# Secrets belong in the environment; the file says so instead of showing them.
_NOT_IN_THE_FILE = {"metrics_token", "secret", "secret_leaked", "secret_previous", "smtp_password"}


@dataclass(frozen=True)
class Documented:
    """One row of the page."""

    variable: str
    key: str
    type: str
    default: str
    text: str


def documented() -> dict[str, Documented]:
    rows: dict[str, Documented] = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| `IDP_"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 5, f"a row of docs/settings.md has {len(cells)} cells: {line[:60]}"
            row = Documented(cells[0].strip("`"), cells[1].strip("`"), cells[2], cells[3].strip("`"), cells[4])
            assert row.key not in rows, f"{row.key} is documented twice"
            rows[row.key] = row
    return rows


def type_in_words(name: str) -> str:
    field = Settings.model_fields[name]
    kind = str(field.annotation)
    if pattern := next((part.pattern for part in field.metadata if getattr(part, "pattern", None)), None):
        words = [f"`{word}`" for word in re.findall(r"\w+", pattern)]
        return ", ".join(words[:-1]) + f" or {words[-1]}"
    match field.annotation:
        case _ if "Secret" in kind:
            return "list of secrets" if "tuple" in kind else "secret"
        case _ if "IPv4Network" in kind:
            return "list of networks"
        case _ if "tuple" in kind:
            return "list"
        case _ if "Path" in kind:
            return "path"
        case _ if field.annotation is timedelta:
            return "duration or 0" if name in MAY_BE_ZERO else "duration"
        case _ if field.annotation is bool:
            return "yes or no"
        case _ if field.annotation is int:
            lowest = next(part.ge for part in field.metadata if isinstance(part, Ge))
            highest = next((part.le for part in field.metadata if isinstance(part, Le)), None)
            return f"number from {lowest}" if highest is None else f"number {lowest}–{highest}"
        case _ if field.annotation is str:
            return "text"
    raise AssertionError(f"{name} has a type that this test can't name: {field.annotation}")


def commented_out() -> dict[str, Any]:
    """What config/example.toml sets when every comment mark before an assignment is taken away."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    return tomllib.loads("\n".join(line.removeprefix("# ") for line in lines if re.match(r"# [a-z_]+ = ", line)))


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    assert set(documented()) == set(Settings.model_fields)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_reference_tells_a_settings_variable_type_and_default(name: str) -> None:
    row = documented()[name]
    default = Settings.model_fields[name].default

    assert row.variable == f"IDP_{name.upper()}"
    assert row.type == type_in_words(name)
    if row.default == NONE:
        assert default in (None, "", ())
    else:
        assert getattr(Settings(**{name: row.default}), name) == default
    assert row.text


def test_the_example_file_loads_as_it_is_and_changes_nothing(tmp_path: Path) -> None:
    variables = {"IDP_VAR_DIR": str(tmp_path), "IDP_SECRET": "x" * 40}

    assert load_settings({**variables, "IDP_CONFIG": str(EXAMPLE)}) == load_settings(variables)


def test_the_example_file_shows_every_setting_but_the_secrets() -> None:
    assert set(commented_out()) == set(Settings.model_fields) - _NOT_IN_THE_FILE


def test_the_example_file_loads_with_everything_uncommented(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    lines = EXAMPLE.read_text("utf-8").splitlines()
    file.write_text("\n".join(re.sub(r"^# ([a-z_]+ = )", r"\1", line) for line in lines), "utf-8")

    settings = load_settings({"IDP_CONFIG": str(file), "IDP_SECRET": "x" * 40, "IDP_SMTP_PASSWORD": "p"})

    assert settings.database_url == "postgresql://idp@db.internal/idp"


def test_a_value_in_the_example_file_is_the_default_unless_it_is_called_an_example() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for line, before in zip(lines[1:], lines, strict=False):
        if not (match := re.match(r"# ([a-z_]+) = ", line)):
            continue
        name, is_example = match.group(1), "or example:" in before or "outbound_proxy" in before
        has_default = Settings.model_fields[name].default not in (None, "", ())
        assert has_default != is_example, f"{name}: a default without being one, or an example that is none"
        if has_default:
            shown = getattr(Settings(**{name: commented_out()[name]}), name)
            assert shown == Settings.model_fields[name].default, name
