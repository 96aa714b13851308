"""`idp clients check | show-notice | inspect-token`: does this application hear of sign-outs?"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from idp.db.models import DeliveryState
from tests.cli.shell import Shell
from tests.cli.test_deliveries import notice
from tests.kit.outbound_servers import RawServer, saying
from tests.support.heart import Heart

ADDRESS = "https://app.example/logout"


def answering(status: int) -> Callable[..., object]:
    return saying(f"HTTP/1.1 {status} X\r\nContent-Length: 11\r\n\r\nsecret page".encode())


def registered(shell: Shell, uri: str | None) -> str:
    more = ("--backchannel-logout-uri", uri) if uri else ()
    made = shell.json(*("clients", "create", "--name", "Wiki", "--redirect-uri", "https://wiki.example/cb"), *more)
    client_id: str = made["client_id"]
    return client_id


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (204, "ok"), (400, "fail"), (500, "fail"), (302, "fail")])
def test_a_test_notice_says_what_came_back_and_nothing_of_the_page(shell: Shell, status: int, state: str) -> None:
    with RawServer(answering(status)) as server:
        shell.environment["IDP_OUTBOUND_ALLOW"] = f"127.0.0.1:{server.port}"
        client_id = registered(shell, f"http://127.0.0.1:{server.port}/logout")

        result = shell.run("clients", "check", client_id, "--send-test-notice", "--json")

    report = json.loads(result.stdout)
    [test] = [check for check in report["checks"] if check["name"] == "test notice"]
    assert test["state"] == state
    assert str(status) in test["message"]
    assert "secret page" not in result.output
    assert result.exit_code == (0 if state == "ok" else 1)
    assert b"logout_token=" in server.requests[-1]


def test_the_health_of_an_application_is_told_with_success_errors_queue_and_dead(shell: Shell, today: Heart) -> None:
    with RawServer(answering(400)) as server:
        shell.environment["IDP_OUTBOUND_ALLOW"] = f"127.0.0.1:{server.port}"
        uri = f"http://127.0.0.1:{server.port}/logout"
        client = today.client(name="Wiki", backchannel_logout_uri=uri)
        for _ in range(3):
            notice(today, client, DeliveryState.TOLD)
        notice(today, client, DeliveryState.GAVE_UP, last_status=500, last_failure="answered 500")
        notice(today, client, DeliveryState.PENDING)

        report = shell.json("clients", "check", client.id)
        text = shell.run("clients", "check", client.id).stdout

    assert report["notices"]["error_rate"] == 0.25
    assert (report["notices"]["told"], report["notices"]["dead"], report["notices"]["pending"]) == (3, 1, 1)
    assert report["notices"]["last_success_at"]
    assert "Of the latest 5: 3 told, 1 failed (error rate 25.0%)." in text
    assert "1 notice waits, 1 of them tried before" in text
    assert f"idp deliveries redeliver --client {client.id} --dead" in text


def test_an_application_without_an_address_is_a_warning_and_an_unknown_one_an_error(shell: Shell) -> None:
    client_id = registered(shell, None)

    assert shell.json("clients", "check", client_id, "--send-test-notice")["healthy"] is True
    assert "None is registered" in shell.run("clients", "check", client_id).stdout
    assert "idp clients list" in shell.refusal("clients", "check", "nobody")
    assert "nothing to show" in shell.refusal("clients", "show-notice", client_id)


def test_an_application_with_a_front_channel_address_alone_is_told_what_that_is_worth(shell: Shell) -> None:
    client_id = registered(shell, None)
    shell.run("clients", "update", client_id, "--frontchannel-logout-uri", "https://wiki.example/front")

    said = shell.run("clients", "check", client_id).stdout

    assert "Only a front-channel one is registered" in said
    assert "can't be told" not in said


def test_the_request_that_is_shown_is_the_one_that_is_sent(shell: Shell) -> None:
    with RawServer(answering(200)) as server:
        shell.environment["IDP_OUTBOUND_ALLOW"] = f"127.0.0.1:{server.port}"
        client_id = registered(shell, f"http://127.0.0.1:{server.port}/logout?from=idp")
        shell.run("clients", "check", client_id, "--send-test-notice")
        sent = server.requests[-1].decode()

    shown = shell.json("clients", "show-notice", client_id)["request"]

    def parts(request: str) -> tuple[str, set[str], str]:
        head, _, body = request.partition("\r\n\r\n")
        line, *headers = head.split("\r\n")
        return line, {header for header in headers if "Content-Length" not in header}, body.partition("=")[0]

    assert parts(shown) == parts(sent)
    assert f"Content-Length: {len(shown.partition(chr(13) + chr(10) * 1 + chr(13) + chr(10))[2])}" in shown


def test_a_token_that_is_shown_passes_inspection_and_a_changed_one_says_which_rule_it_breaks(shell: Shell) -> None:
    client_id = registered(shell, ADDRESS)
    token = shell.json("clients", "show-notice", client_id)["logout_token"]

    good: dict[str, Any] = shell.json("clients", "inspect-token", "--client", client_id, given=token + "\n")
    for_another = shell.run("clients", "inspect-token", "--client", "another", given=token)
    cut = shell.run("clients", "inspect-token", given=token[:-4] + "AAAA")

    assert good["valid"] is True
    assert all(rule["says"].endswith(".") for rule in good["rules"])
    assert for_another.exit_code == cut.exit_code == 1
    assert "fail  §2.6 aud names the client" in for_another.stdout
    assert "fail  §2.6 the signature is the issuer's" in cut.stdout


@pytest.mark.parametrize("junk", ["", "x", "a.b.c", "é.é.é", "." * 5000, "a.b.c.d.e", "\x00", "e30.e30.", "W10.W10.x"])
def test_junk_is_refused_in_words(shell: Shell, junk: str) -> None:
    result = shell.run("clients", "inspect-token", given=junk)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.output
