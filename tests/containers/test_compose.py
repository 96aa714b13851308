"""compose.yaml, without starting anything: what it says fits together, with the program and with the examples."""

import itertools
import json
import re
import subprocess
from ipaddress import ip_address
from urllib.parse import urlsplit

import click
import pytest

from examples.compose.__main__ import APPLICATIONS
from examples.relying_party.configuration import Configuration
from idp.cli import main
from idp.cli.demo_data import SHOP, WIKI
from idp.cli.supervisor import GRACE_SECONDS
from idp.settings import load_settings
from tests.containers import compose

SERVICES = compose.load()
OURS = [service for service in SERVICES.values() if service.is_ours]
PROVIDERS = [service for service in OURS if "IDP_ISSUER" in service.environment]
RELYING_PARTIES = [service for service in OURS if "OP_ISSUER" in service.environment]
DEFAULT = ["serve", "--host", "0.0.0.0", "--port", "9000", "--without-worker"]
DOCKERFILE = (compose.ROOT / "Dockerfile").read_text("utf-8")


def _name(service: compose.Service) -> str:
    return service.name


def test_the_services_are_those_that_the_guide_names() -> None:
    assert set(SERVICES) == {
        *("database", "init", "people", "provider", "worker", "mail", "application-1", "application-2"),
    }
    assert {service.name for service in PROVIDERS} == {"init", "people", "provider", "worker"}
    assert {service.name for service in RELYING_PARTIES} == {"application-1", "application-2"}


@pytest.mark.parametrize("service", PROVIDERS, ids=_name)
def test_the_provider_accepts_the_settings(service: compose.Service) -> None:
    settings = load_settings(service.environment)

    assert settings.issuer == "http://localhost:9000"
    assert not settings.is_sqlite


@pytest.mark.parametrize("service", PROVIDERS, ids=_name)
def test_every_process_of_the_provider_has_the_same_settings(service: compose.Service) -> None:
    assert service.environment == SERVICES["provider"].environment


def test_every_application_is_registered_under_the_address_that_it_has() -> None:
    running = {Configuration.from_environment(_with_registration(each)).base_url for each in RELYING_PARTIES}

    assert {application.url for application in APPLICATIONS} == running


def test_every_application_reads_the_registration_that_is_written_for_it() -> None:
    written = {f"/var/lib/idp/{application.file}" for application in APPLICATIONS}
    read = {
        str(Configuration.from_environment(_with_registration(each)).database.with_suffix(".env"))
        for each in RELYING_PARTIES
    }

    assert written == read
    assert {SERVICES["people"].volumes["/var/lib/idp"]} == {each.volumes["/var/lib/idp"] for each in RELYING_PARTIES}


def test_the_applications_are_called_as_they_are_registered() -> None:
    shown = {service.environment["RP_NAME"] for service in RELYING_PARTIES}

    assert {application.name for application in APPLICATIONS} == shown == {WIKI, SHOP}


def test_the_provider_hands_its_mail_to_the_catcher_whose_page_is_published() -> None:
    settings = load_settings(SERVICES["worker"].environment)
    options = SERVICES["mail"].command(entrypoint=[], default=[])
    chosen = dict(itertools.pairwise(options))

    assert options[:3] == ["python", "-m", "examples.mail_catcher"]
    assert (settings.smtp_host, str(settings.smtp_port)) == ("127.0.0.1", chosen["--smtp-port"])
    assert ("127.0.0.1", 8025, int(chosen["--page-port"])) in SERVICES["provider"].ports
    assert chosen["--page-host"] == "0.0.0.0", "nobody from outside the container would see it"
    assert chosen["--folder"] in SERVICES["mail"].volumes


def test_applications_on_one_host_have_cookies_of_their_own() -> None:
    names = [service.environment["RP_COOKIE_NAME"] for service in RELYING_PARTIES]

    assert len(set(names)) == len(names)


def test_the_worker_may_post_to_the_applications_and_to_nothing_else_that_is_private() -> None:
    settings = load_settings(SERVICES["worker"].environment)

    assert set(settings.outbound_allow) == {urlsplit(application.url).netloc for application in APPLICATIONS}


def test_applications_worker_and_mail_catcher_are_in_the_providers_network() -> None:
    within = {name for name, service in SERVICES.items() if service.raw.get("network_mode") == "service:provider"}

    assert within == {"worker", "mail", "application-1", "application-2"}
    for name in within:
        assert SERVICES[name].depends_on == {"provider": "service_healthy"}


def test_only_this_machine_reaches_the_published_ports() -> None:
    published = [port for service in SERVICES.values() for port in service.ports]
    wanted = {9000, 8025, *(int(each.environment["RP_PORT"]) for each in RELYING_PARTIES)}

    assert {here for _, here, _ in published} == wanted
    for address, here, there in published:
        assert ip_address(address).is_loopback
        assert here == there, "the issuer and the registered addresses name the port"


def test_every_dependency_is_a_service_and_is_waited_for_as_it_can_be() -> None:
    order = [service.name for service in compose.in_order(SERVICES)]

    assert order.index("database") < order.index("init") < order.index("people") < order.index("provider")
    for service in SERVICES.values():
        for name, condition in service.depends_on.items():
            other = SERVICES[name]
            if condition == "service_completed_successfully":
                assert "restart" not in other.raw, f"{name} would never be done"
            elif condition == "service_healthy" and other.is_ours:
                assert not other.raw.get("healthcheck", {}).get("disable"), f"{name} would never be healthy"


@pytest.mark.parametrize("service", OURS, ids=_name)
def test_ours_have_no_privilege_and_nothing_to_write_to_but_memory_and_volumes(service: compose.Service) -> None:
    assert service.raw["read_only"] is True
    assert service.raw["cap_drop"] == ["ALL"]
    assert service.raw["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service.raw


@pytest.mark.parametrize("service", OURS, ids=_name)
def test_ours_are_built_from_a_stage_that_there_is(service: compose.Service) -> None:
    if service.target is not None:
        assert re.search(rf"^FROM .* AS {service.target}$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if not service.is_ours])
def test_images_of_others_are_of_one_version(name: str) -> None:
    assert re.fullmatch(r"[a-z.]+/[a-z]+/[a-z]+:v?[0-9][\w.-]*", SERVICES[name].raw["image"])


@pytest.mark.parametrize("service", [each for each in PROVIDERS if "entrypoint" not in each.raw], ids=_name)
def test_commands_are_those_of_the_program(service: compose.Service) -> None:
    words = service.command(entrypoint=[], default=DEFAULT)
    command = main.get_command(click.Context(main), words[0])

    assert command is not None
    command.make_context(words[0], list(words[1:]))  # raises for an option that there isn't


def test_the_default_command_in_the_dockerfile_is_the_one_tried_above() -> None:
    assert f"\nCMD {json.dumps(DEFAULT)}\n" in DOCKERFILE


def test_a_container_is_given_longer_to_end_than_the_program_takes() -> None:
    settings = load_settings(SERVICES["provider"].environment)
    for name in ("provider", "worker"):
        seconds = int(SERVICES[name].raw["stop_grace_period"].removesuffix("s"))
        assert seconds > GRACE_SECONDS + settings.drain_lifetime.total_seconds()


def test_no_secret_stands_in_the_file() -> None:
    text = compose.FILE.read_text("utf-8")

    for name in ("IDP_SECRET", "POSTGRES_PASSWORD"):
        for line in text.splitlines():
            if re.match(rf" +{name}:", line):
                assert f"{name}: ${{{name}:?" in line


def test_what_make_writes_is_what_compose_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", compose.FILE.read_text("utf-8")))
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", ".env"], cwd=compose.ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert asked == set(re.findall(r'"(\w+)="', recipe)) == set(compose.ENVIRONMENT)


def test_the_build_sees_neither_secrets_nor_data() -> None:
    lines = (compose.ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == {
        *("examples", "idp", "migrations", "pyproject.toml", "requirements"),
    }


def _with_registration(service: compose.Service) -> dict[str, str]:
    assert urlsplit(service.environment["OP_ISSUER"]).netloc == "localhost:9000"
    return {**service.environment, "RP_CLIENT_ID": "x", "RP_CLIENT_SECRET": "y"}
