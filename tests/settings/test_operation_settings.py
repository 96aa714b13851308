"""The settings of operation: where metrics may be read, how long to drain, and which texts no log may contain."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.settings import Settings, SettingsError, load_settings

SECRET = "no-secret-at-all-but-long-enough-to-be-taken-for-one"
TOKEN = "a-token-for-the-scraper-of-more-than-32"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load_with(**variables: str) -> Settings:
        return load_settings({"IDP_SECRET": SECRET, "IDP_VAR_DIR": str(tmp_path), **variables})

    return load_with


@pytest.mark.parametrize(
    ("refused", "repaired", "address"),
    [
        ("9100", "127.0.0.1:9100", ("127.0.0.1", 9100)),
        ("127.0.0.1", "localhost:9100", ("localhost", 9100)),
        ("127.0.0.1:0", "127.0.0.1:1", ("127.0.0.1", 1)),
        ("127.0.0.1:65536", "127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("::1:9100", "[::1]:9100", ("::1", 9100)),
        ("http://localhost:9100", "localhost:9100", ("localhost", 9100)),
    ],
)
def test_the_listener_for_metrics_is_a_host_and_a_port(
    load: Any, refused: str, repaired: str, address: tuple[str, int]
) -> None:
    with pytest.raises(SettingsError, match="IDP_METRICS_LISTEN must be host:port"):
        load(IDP_METRICS_LISTEN=refused)
    assert load(IDP_METRICS_LISTEN=repaired).metrics_address == address


def test_without_a_listener_there_is_no_address(load: Any) -> None:
    assert load().metrics_address is None


@pytest.mark.parametrize("listen", ["0.0.0.0:9100", "[::]:9100", "10.0.0.5:9100", "metrics.internal:9100"])
def test_a_listener_that_other_machines_reach_needs_a_token(load: Any, listen: str) -> None:
    with pytest.raises(SettingsError, match="IDP_METRICS_LISTEN is open to other machines"):
        load(IDP_METRICS_LISTEN=listen)
    assert load(IDP_METRICS_LISTEN=listen, IDP_METRICS_TOKEN=TOKEN).metrics_address is not None


def test_a_short_token_for_metrics_is_refused(load: Any) -> None:
    with pytest.raises(SettingsError, match="IDP_METRICS_TOKEN is shorter than 32"):
        load(IDP_METRICS_TOKEN="scrape")
    assert load(IDP_METRICS_TOKEN=TOKEN).metrics_token.reveal() == TOKEN


def test_draining_may_take_no_time(load: Any) -> None:
    assert load(IDP_DRAIN_LIFETIME="0").drain_lifetime == timedelta(0)


def test_every_secret_is_among_the_texts_that_no_log_may_contain(load: Any) -> None:
    settings = load(
        IDP_SECRET_PREVIOUS="p" * 40 + " " + "q" * 40,
        IDP_METRICS_TOKEN=TOKEN,
        IDP_DATABASE_URL="postgresql://idp:hunter%2Ftwo@db.internal/idp",
        IDP_OUTBOUND_PROXY="http://me:proxy-password@proxy.internal:3128",
    )

    assert set(settings.secret_texts()) == {
        *(SECRET, "p" * 40, "q" * 40, TOKEN),
        *("hunter%2Ftwo", "hunter/two", "proxy-password"),
    }
    assert load().secret_texts() == (SECRET,)


def test_the_folder_that_serve_gives_to_its_children_is_no_setting(load: Any) -> None:
    assert load(IDP_RUN_FOLDER="/dev/shm/idp-run-1") == load()
