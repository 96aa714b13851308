"""`idp.settings`: what starts, and what stops the start. Each refusal stands beside the setting that repairs it.

The environment is a dictionary here, so nothing of the machine gets in.
"""

import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from idp.settings import Settings, SettingsError, load_settings
from idp.web.services import build_services

SECRET = "no-secret-at-all-but-long-enough-to-be-taken-for-one"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Loads settings from the given variables, with a secret and a folder of the test's own."""

    def load_with(**variables: str) -> Settings:
        return load_settings({"IDP_SECRET": SECRET, "IDP_VAR_DIR": str(tmp_path), **variables})

    return load_with


def refusal(load: Any, **variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(**variables)
    return str(refused.value)


# ── Unknown and malformed ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_variable_stops_the_start_and_is_named(load: Any) -> None:
    message = refusal(load, IDP_ACCES_TOKEN_LIFETIME="5m")

    assert "IDP_ACCES_TOKEN_LIFETIME is not a setting" in message
    assert load(IDP_ACCESS_TOKEN_LIFETIME="5m").access_token_lifetime == timedelta(minutes=5)


def test_variables_of_others_and_of_the_tests_are_left_alone(load: Any) -> None:
    assert load(PATH="/bin", RP_PORT="9001", IDP_TEST_DATABASE_URL="postgresql://x/y").issuer == "http://localhost:9000"


@pytest.mark.parametrize(
    ("malformed", "repaired", "seconds"),
    [
        ("five minutes", "5m", 300),
        ("1.5h", "90m", 5400),
        ("-5", "5", 5),
        ("", "1s", 1),
        ("٥m", "5m", 300),
        ("1w", "7d", 7 * 86400),
        ("99999999999999d", "28d", 28 * 86400),
    ],
)
def test_a_malformed_duration_is_refused_with_an_example(
    load: Any, malformed: str, repaired: str, seconds: int
) -> None:
    message = refusal(load, IDP_RECEIPT_LIFETIME=malformed)

    assert message.startswith("IDP_RECEIPT_LIFETIME: use whole seconds")
    assert load(IDP_RECEIPT_LIFETIME=repaired).receipt_lifetime == timedelta(seconds=seconds)


def test_a_duration_that_no_clock_can_add_is_refused(load: Any) -> None:
    assert "IDP_RECEIPT_LIFETIME is over 3650d" in refusal(load, IDP_RECEIPT_LIFETIME="3651d")
    assert load(IDP_RECEIPT_LIFETIME="3650d").receipt_lifetime == timedelta(days=3650)


def test_a_duration_of_zero_is_refused_unless_it_means_not_at_all(load: Any) -> None:
    assert "IDP_WORKER_POLL_LIFETIME must be at least one second" in refusal(load, IDP_WORKER_POLL_LIFETIME="0")
    assert load(IDP_WORKER_POLL_LIFETIME="1").worker_poll_lifetime == timedelta(seconds=1)
    assert load(IDP_REFRESH_LEEWAY_LIFETIME="0").refresh_leeway_lifetime == timedelta(0)


@pytest.mark.parametrize(
    ("variable", "malformed", "repaired"),
    [
        ("IDP_DATABASE_POOL_SIZE", "many", "20"),
        ("IDP_DATABASE_POOL_SIZE", "0", "1"),
        ("IDP_DELIVERIES_PER_HOST", "65", "64"),
        ("IDP_GUESSES_PER_PERSON", "0", "1"),
        ("IDP_LOG_LEVEL", "loud", "debug"),
        ("IDP_TRUSTED_PROXIES", "the proxy", "10.0.0.0/8"),
    ],
)
def test_a_value_outside_its_bounds_is_refused_by_its_variables_name(
    load: Any, variable: str, malformed: str, repaired: str
) -> None:
    assert refusal(load, **{variable: malformed}).startswith(f"{variable}: ")
    load(**{variable: repaired})


def test_all_malformed_values_are_named_at_once(load: Any) -> None:
    message = refusal(load, IDP_LOG_LEVEL="loud", IDP_DATABASE_POOL_SIZE="many")

    assert "IDP_LOG_LEVEL: " in message
    assert "IDP_DATABASE_POOL_SIZE: " in message


def test_lists_are_separated_by_commas_or_spaces(load: Any) -> None:
    settings = load(IDP_TRUSTED_PROXIES="10.0.0.0/8, ::1", IDP_OUTBOUND_ALLOW="localhost:9001 10.1.0.0/16:443")

    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.outbound_allow == ("localhost:9001", "10.1.0.0/16:443")


@pytest.mark.parametrize(
    ("variable", "malformed", "repaired"),
    [
        ("IDP_OUTBOUND_ALLOW", "intranet.example", "intranet.example:443"),
        ("IDP_OUTBOUND_PROXY", "proxy:3128", "http://proxy:3128"),
    ],
)
def test_what_only_the_outbound_client_understands_stops_the_start_too(
    load: Any, variable: str, malformed: str, repaired: str
) -> None:
    with pytest.raises(SettingsError, match=variable):
        build_services(load(**{variable: malformed}))
    build_services(load(**{variable: repaired})).database.engine.dispose()


# ── The issuer ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.spec("OIDC Discovery", "3")
@pytest.mark.parametrize(
    ("refused", "why", "repaired"),
    [
        ("http://id.example.com", "uses http outside this machine", "https://id.example.com"),
        ("http://192.0.2.1", "uses http outside this machine", "http://127.0.0.1:9000"),
        ("http://localhost.example.com", "uses http outside this machine", "http://localhost"),
        ("https://id.example.com/", "must not end with a slash", "https://id.example.com"),
        ("https://id.example.com/id/", "must not end with a slash", "https://id.example.com/id"),
        ("https://id.example.com?tenant=1", "no query, fragment or user name", "https://id.example.com/1"),
        ("https://id.example.com?", "no query, fragment or user name", "https://id.example.com"),
        ("https://id.example.com#", "no query, fragment or user name", "https://id.example.com"),
        ("https://me@id.example.com", "no query, fragment or user name", "https://id.example.com"),
        ("https://ID.example.com", "lower case", "https://id.example.com"),
        ("HTTP://localhost:9000", "lower case", "http://localhost:9000"),
        ("https://id.example.com\n", "no spaces", "https://id.example.com"),
        ("https://id.example .com", "no spaces", "https://id.example.com"),
        ("id.example.com", "must be a URL", "https://id.example.com"),
        ("ftp://id.example.com", "must be a URL", "https://id.example.com"),
        ("https://id.example.com:99999", "is not a URL", "https://id.example.com:9999"),
        ("", "must be a URL", "https://id.example.com"),
    ],
)
def test_an_issuer_that_applications_could_not_compare_or_trust_is_refused(
    load: Any, refused: str, why: str, repaired: str
) -> None:
    message = refusal(load, IDP_ISSUER=refused)

    assert message.startswith("IDP_ISSUER ")
    assert why in message
    assert load(IDP_ISSUER=repaired).issuer == repaired


def test_only_the_issuer_makes_addresses(load: Any) -> None:
    settings = load(IDP_ISSUER="https://example.com/id")

    assert settings.url("/oauth2/token") == "https://example.com/id/oauth2/token"
    assert (settings.issuer_origin, settings.issuer_path) == ("https://example.com", "/id")


# ── The secret ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_short_secret_is_refused_and_never_repeated(load: Any) -> None:
    message = refusal(load, IDP_SECRET="hunter2" * 4)

    assert message.startswith("IDP_SECRET is shorter than 32 characters")
    assert "hunter2" not in message
    assert load(IDP_SECRET="hunter2" * 5).known_secret.reveal() == "hunter2" * 5


def test_every_previous_secret_must_be_long_enough_too(load: Any) -> None:
    message = refusal(load, IDP_SECRET_PREVIOUS=f"{'a' * 32},{'b' * 31}")

    assert message.startswith("IDP_SECRET_PREVIOUS is shorter")
    assert len(load(IDP_SECRET_PREVIOUS=f"{'a' * 32},{'b' * 32}").secret_previous) == 2


def test_a_secret_that_is_no_text_is_refused(load: Any) -> None:
    assert "IDP_SECRET is not UTF-8" in refusal(load, IDP_SECRET="\udcff" * 32)
    load(IDP_SECRET="ß" * 32)


def test_a_secret_shows_itself_nowhere(load: Any) -> None:
    settings = load(IDP_SECRET_PREVIOUS=SECRET[::-1])

    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in shown
        assert SECRET[::-1] not in shown


def test_postgresql_demands_a_secret_and_makes_none(tmp_path: Path) -> None:
    variables = {"IDP_DATABASE_URL": "postgresql://idp@db.internal/idp", "IDP_VAR_DIR": str(tmp_path / "var")}

    with pytest.raises(SettingsError, match="IDP_SECRET is not set"):
        load_settings(variables)

    assert not (tmp_path / "var").exists()
    assert load_settings({**variables, "IDP_SECRET": SECRET}).known_secret.reveal() == SECRET


def test_the_embedded_database_gets_a_secret_once_readable_by_its_owner_only(tmp_path: Path) -> None:
    variables = {"IDP_VAR_DIR": str(tmp_path / "var")}

    first, second = load_settings(variables), load_settings(variables)

    assert len(first.known_secret.reveal()) >= 32
    assert first.known_secret.reveal() == second.known_secret.reveal()
    assert stat.S_IMODE((tmp_path / "var" / "secret").stat().st_mode) == 0o600


def test_twenty_threads_that_start_at_once_agree_on_one_secret_and_leave_no_other_file(tmp_path: Path) -> None:
    variables = {"IDP_VAR_DIR": str(tmp_path / "var")}
    barrier = threading.Barrier(20)

    def start(_: int) -> str:
        barrier.wait(timeout=30)
        return load_settings(variables).known_secret.reveal()

    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(start, range(20)))

    assert len(found) == 1
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret"]
    assert (tmp_path / "var" / "secret").read_text() == found.pop()


def test_commands_that_only_look_make_no_secret(tmp_path: Path) -> None:
    variables = {"IDP_VAR_DIR": str(tmp_path / "var")}

    with pytest.raises(SettingsError, match="IDP_SECRET is not set"):
        load_settings(variables, create_secret=False)

    assert not (tmp_path / "var").exists()
    made = load_settings(variables)
    assert load_settings(variables, create_secret=False).known_secret.reveal() == made.known_secret.reveal()


# ── The database ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_database_address_it_is_sqlite_in_the_var_folder(load: Any, tmp_path: Path) -> None:
    settings = load()

    assert settings.is_sqlite
    assert settings.database_url == f"sqlite:///{tmp_path}/idp.sqlite3"


@pytest.mark.parametrize(
    ("refused", "why", "repaired"),
    [
        ("mysql://idp@db/idp", "must begin with sqlite:/// or postgresql://", "postgresql://idp@db/idp"),
        ("sqlite://", "must begin with sqlite:/// or postgresql://", "sqlite:////srv/idp.sqlite3"),
        ("sqlite:///", "must name a file", "sqlite:////srv/idp.sqlite3"),
        ("sqlite:///:memory:", "must name a file", "sqlite:////srv/idp.sqlite3"),
        ("postgresql://idp:p/w@db/idp", "percent-encoded", "postgresql://idp:p%2Fw@db/idp"),
    ],
)
def test_a_database_that_can_not_work_is_refused_before_anything_opens_it(
    load: Any, refused: str, why: str, repaired: str
) -> None:
    message = refusal(load, IDP_DATABASE_URL=refused)

    assert message.startswith("IDP_DATABASE_URL ")
    assert why in message
    assert load(IDP_DATABASE_URL=repaired).database_url == repaired


def test_an_sqlite_that_is_too_old_stops_the_start_and_postgresql_does_without(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")

    message = refusal(load)

    assert "SQLite (3.34.1) is older than 3.35" in message
    assert "IDP_DATABASE_URL" in message
    assert load(IDP_DATABASE_URL="postgresql://idp@db/idp").database_url
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 0))
    assert load().is_sqlite


def test_an_sqlite_without_json_stops_the_start(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutJson(sqlite3.Connection):
        def execute(self, statement: str, *_: Any) -> Any:
            raise sqlite3.OperationalError("no such table: json_each")

    monkeypatch.setattr(sqlite3, "connect", WithoutJson)

    assert "has no JSON functions" in refusal(load)


def test_a_malformed_database_address_is_not_repeated_because_it_holds_a_password(load: Any) -> None:
    assert "hunter2" not in refusal(load, IDP_DATABASE_URL="postgresql://idp:hunter2/@db/idp")


# ── Contradictions ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ("IDP_BROWSER_IDLE_LIFETIME", "IDP_BROWSER_ABSOLUTE_LIFETIME"),
        ("IDP_KEEP_SIGNED_IN_IDLE_LIFETIME", "IDP_BROWSER_ABSOLUTE_LIFETIME"),
        ("IDP_APP_IDLE_LIFETIME", "IDP_APP_ABSOLUTE_LIFETIME"),
        ("IDP_DELIVERY_REQUEST_LIFETIME", "IDP_DELIVERY_LEASE_LIFETIME"),
    ],
)
def test_lifetimes_that_contradict_each_other_are_refused_by_both_names(load: Any, shorter: str, longer: str) -> None:
    message = refusal(load, **{shorter: "400d", longer: "399d"})

    assert f"{shorter} is longer than {longer}" in message
    load(**{shorter: "30d", longer: "30d", "IDP_KEEP_SIGNED_IN_IDLE_LIFETIME": "28d"})


@pytest.mark.parametrize(
    ("variable", "too_long", "longest"),
    [("IDP_ACCESS_TOKEN_LIFETIME", "3601", "1h"), ("IDP_AUTHORIZATION_CODE_LIFETIME", "601", "10m")],
)
def test_what_a_sign_out_can_not_reach_must_be_short_lived(
    load: Any, variable: str, too_long: str, longest: str
) -> None:
    assert refusal(load, **{variable: too_long}).startswith(f"{variable} is over ")
    load(**{variable: longest})


# ── The file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_variables_win_over_the_file_and_the_file_over_the_defaults(load: Any, tmp_path: Path) -> None:
    file = tmp_path / "idp.toml"
    file.write_text(
        'issuer = "https://file.example.com"\n'
        "receipt_lifetime = 60\n"
        'app_idle_lifetime = "7d"\n'
        'trusted_proxies = ["10.0.0.0/8", "::1"]\n'
    )

    settings = load(IDP_CONFIG=str(file), IDP_ISSUER="https://variable.example.com")

    assert settings.issuer == "https://variable.example.com"
    assert settings.receipt_lifetime == timedelta(seconds=60)
    assert settings.app_idle_lifetime == timedelta(days=7)
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.access_token_lifetime == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("isuer = 'https://id.example.com'", "isuer (in the file) is not a setting"),
        ("[idp]\nissuer = 'https://id.example.com'", "idp (in the file) is not a setting"),
        ("issuer = https://id.example.com", "is not valid TOML"),
        ("receipt_lifetime = true", "IDP_RECEIPT_LIFETIME: use whole seconds"),
        ("receipt_lifetime = 1.5", "IDP_RECEIPT_LIFETIME: use whole seconds"),
        ("issuer = 5", "IDP_ISSUER: "),
    ],
)
def test_a_file_with_a_mistake_stops_the_start(load: Any, tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "idp.toml"
    file.write_text(content)

    assert why in refusal(load, IDP_CONFIG=str(file))
    file.write_text("issuer = 'https://id.example.com'\nreceipt_lifetime = 60")
    assert load(IDP_CONFIG=str(file)).issuer == "https://id.example.com"


def test_a_file_that_is_named_must_be_there(load: Any, tmp_path: Path) -> None:
    assert "which can't be read: No such file" in refusal(load, IDP_CONFIG=str(tmp_path / "nowhere.toml"))
    assert "which can't be read: Is a directory" in refusal(load, IDP_CONFIG=str(tmp_path))
    (tmp_path / "nowhere.toml").touch()
    load(IDP_CONFIG=str(tmp_path / "nowhere.toml"))


def test_settings_can_not_be_changed_after_the_start(load: Any) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().issuer = "https://elsewhere.example.com"
