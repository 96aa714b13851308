"""`idp clients self-test-link`: who may test an application is the operator's to say."""

import json

from sqlalchemy import func, select

from idp.clients.lifecycle import disable_client
from idp.db.models import SelfTestLink
from tests.cli.shell import Shell
from tests.support.heart import Heart


def test_a_link_is_printed_once_and_withdrawn(shell: Shell, today: Heart) -> None:
    client = today.client(name="Wiki", backchannel_logout_uri="https://app.example/logout")

    made = shell.json("clients", "self-test-link", client.id)
    plain = shell.run("clients", "self-test-link", client.id)

    assert made["url"].startswith("http://localhost:9000/developers/self-test/")
    assert made["expires_at"]
    assert plain.exit_code == 0
    assert "/developers/self-test/" in plain.stdout
    assert "good for 8 hours" in plain.stderr
    assert shell.json("clients", "self-test-link", client.id, "--withdraw")["withdrawn"] == 2
    with today.database.reading() as tx:
        assert tx.scalars(select(func.count()).select_from(SelfTestLink)).one() == 0


def test_without_an_address_or_for_a_disabled_or_unknown_application_there_is_none(shell: Shell, today: Heart) -> None:
    deaf, closed = today.client(name="Deaf"), today.client(backchannel_logout_uri="https://app.example/logout")
    with today.database.transaction() as tx:
        disable_client(tx, client_id=closed.id, now=today.now)

    assert "--backchannel-logout-uri" in shell.refusal("clients", "self-test-link", deaf.id)
    assert "idp clients enable" in shell.refusal("clients", "self-test-link", closed.id)
    assert "idp clients list" in shell.refusal("clients", "self-test-link", "nobody")


def test_the_link_is_in_no_listing(shell: Shell, today: Heart) -> None:
    client = today.client(name="Wiki", backchannel_logout_uri="https://app.example/logout")
    secret = shell.json("clients", "self-test-link", client.id)["url"].rpartition(".")[2]

    assert secret not in json.dumps(shell.json("clients", "list"))
