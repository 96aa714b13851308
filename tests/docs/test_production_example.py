"""config/production.example.toml starts a provider as it is, given a secret, and holds none itself."""

import tomllib
from pathlib import Path

import pytest

from idp.settings import Settings, SettingsError, load_settings

FILE = Path(__file__).resolve().parents[2] / "config" / "production.example.toml"


def test_it_loads_with_nothing_but_a_secret() -> None:
    settings = load_settings({"IDP_CONFIG": str(FILE), "IDP_SECRET": "x" * 40})

    assert not settings.is_sqlite
    assert not settings.is_loopback_http
    with pytest.raises(SettingsError, match=r"^IDP_SECRET is not set"):
        load_settings({"IDP_CONFIG": str(FILE)})


def test_it_holds_no_secret() -> None:
    settings = Settings(**tomllib.loads(FILE.read_text("utf-8")))

    assert settings.secret_texts() == ()
