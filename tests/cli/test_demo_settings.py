"""What `idp demo` decides reaches its processes and the commands of its story alike."""

import re
from pathlib import Path

import pytest

from idp.cli import demo_settings, demo_story
from idp.cli.demo_data import DemoData
from idp.cli.demo_story import Places
from idp.settings import load_settings

PLACES = Places(port=9100, wiki_port=9101, shop_port=9102, mail_port=9103, smtp_port=9104)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'a "quoted" folder'
    folder.mkdir()
    return folder


def test_the_file_gives_commands_what_the_variables_give_the_provider(folder: Path) -> None:
    settings = demo_settings.load(PLACES.issuer, {"IDP_VAR_DIR": str(folder), "IDP_OUTBOUND_ALLOW": "10.0.0.1:443"})
    values = demo_settings.decided(settings, PLACES)
    path = demo_settings.write(values, folder)

    in_commands = load_settings({"IDP_CONFIG": str(path)})
    in_provider = load_settings(demo_settings.as_environment(values))

    assert in_commands == in_provider
    assert in_commands.issuer == "http://localhost:9100"
    assert in_commands.outbound_allow == ("10.0.0.1:443", "127.0.0.1:9101", "127.0.0.1:9102")
    assert (in_commands.smtp_host, in_commands.smtp_port) == ("127.0.0.1", 9104)
    assert in_commands.var_dir == folder


def test_a_demo_started_in_the_storys_terminal_begins_as_one_started_elsewhere(folder: Path) -> None:
    elsewhere = demo_settings.load(PLACES.issuer, {"IDP_VAR_DIR": str(folder)})
    path = demo_settings.write(demo_settings.decided(elsewhere, PLACES), folder)

    in_its_terminal = demo_settings.load(PLACES.issuer, {"IDP_CONFIG": str(path)})

    assert in_its_terminal == elsewhere


def test_somebodys_own_file_counts_in_the_demo(folder: Path) -> None:
    own = folder / "idp.toml"
    own.write_text('browser_idle_lifetime = "2h"\n')

    settings = demo_settings.load(PLACES.issuer, {"IDP_CONFIG": str(own), "IDP_VAR_DIR": str(folder)})

    assert settings.browser_idle_lifetime.total_seconds() == 7200


def test_the_story_names_the_file_before_the_first_command() -> None:
    config = Path("var/demo.toml")

    told = demo_story.tell(PLACES, DemoData(), Path("var"), config, Path("var/demo.log"))

    pasted = [line.strip() for line in told.splitlines() if re.match(" {7}\\S", line)]
    assert pasted[0].startswith("export IDP_CONFIG=var/demo.toml ")
    assert any("idp clients check" in line for line in pasted)
