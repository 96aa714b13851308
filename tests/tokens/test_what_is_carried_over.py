"""What a request asked for and a sign-in was is the same in the code, the family, the answer, and after a refresh."""

from datetime import timedelta

import pytest

from idp import tokens
from idp.clients import ProvenClient
from idp.db.models import AuditEvent, AuthorizationCode, GrantType, Session, TokenFamily
from idp.sessions import Device
from idp.tokens import Issued, Refused
from tests.support.heart import REDIRECT, Heart

OFFLINE = "openid email offline_access"
ASKED = {
    "resources": ["https://api.example/", "https://files.example/"],
    "claims_request": {"id_token": ["email"]},
    "nonce": "n-0S6",
}
TOOL = Device("Ada's laptop", "Linux", "Tool 1.2", "192.0.2.9")


def test_a_code_holds_the_request_the_sign_in_and_its_minute(heart: Heart) -> None:
    browser, client = heart.sign_in(heart.person()), heart.client()
    owner = heart.session(browser.session_id)
    heart.clock.advance(minutes=3)

    heart.code(browser, client, OFFLINE, **ASKED, code_challenge="c" * 43, device=TOOL)

    [code] = heart.all(AuthorizationCode)
    assert (code.client_id, code.user_id, code.session_id) == (client.id, owner.user_id, owner.id)
    assert (code.redirect_uri, code.redirect_uri_was_sent, code.code_challenge) == (REDIRECT, True, "c" * 43)
    assert code.scope == tuple(OFFLINE.split())
    assert {name: getattr(code, name) for name in ASKED} == ASKED
    assert (code.auth_time, code.amr, code.acr) == (owner.auth_time, ["pwd"], None)
    assert (code.created_at, code.expires_at) == (heart.now, heart.now + timedelta(seconds=60))
    assert Device(code.device_name, code.os_name, code.agent_name, code.ip_address) == TOOL


def test_the_answer_and_its_family_say_what_was_asked_for_and_so_does_a_refresh_but_for_the_nonce(heart: Heart) -> None:
    browser, client = heart.sign_in(heart.person()), heart.client(id_token_signed_response_alg="ES256")
    heart.change(heart.session(browser.session_id), acr="urn:example:two")
    owner = heart.session(browser.session_id)

    first = heart.redeem(heart.code(browser, client, "openid email", **ASKED), client)
    heart.clock.advance(seconds=11)
    assert isinstance(first, Issued)
    second = heart.refresh(first, client)
    assert isinstance(second, Issued)

    for issued in (first, second):
        assert issued.scope == ("openid", "email")
        assert (issued.resources, issued.claims_request) == (ASKED["resources"], ASKED["claims_request"])
        assert (issued.auth_time, issued.amr, issued.acr) == (owner.auth_time, ["pwd"], "urn:example:two")
        assert (issued.user_id, issued.session_id, issued.id_token_alg) == (owner.user_id, owner.id, "ES256")
    assert (first.nonce, second.nonce) == ("n-0S6", None)
    assert (first.outcome, first.issued_at, second.issued_at) == ("redeemed", owner.started_at, heart.now)
    assert first.jti != second.jti
    family = heart.family(first)
    assert (family.grant_type, family.started_at) == (GrantType.AUTHORIZATION_CODE, owner.started_at)
    assert (family.resources, family.claims_request) == (ASKED["resources"], ASKED["claims_request"])


def test_an_app_session_is_the_sign_in_of_its_browser_on_the_device_of_the_app(heart: Heart) -> None:
    browser, client = heart.sign_in(heart.person()), heart.client()
    heart.change(heart.session(browser.session_id), acr="urn:example:two")
    owner = heart.session(browser.session_id)
    heart.clock.advance(seconds=20)

    issued = heart.redeem(heart.code(browser, client, OFFLINE, device=TOOL), client)

    assert isinstance(issued, Issued)
    [app] = heart.all(Session, Session.parent_id == owner.id)
    assert (app.id, app.client_id, app.user_id) == (issued.session_id, client.id, owner.user_id)
    assert (app.auth_time, app.amr, app.acr) == (owner.auth_time, ["pwd"], "urn:example:two")
    assert (app.started_at, app.last_active_at) == (heart.now, heart.now)
    assert Device(app.device_name, app.os_name, app.agent_name, app.ip_address) == TOOL
    [event] = heart.all(AuditEvent, AuditEvent.kind == "app_signed_in")
    assert (event.user_id, event.client_id, event.session_id) == (owner.user_id, client.id, app.id)
    assert (event.actor, event.ip_address, event.details) == ("person", "192.0.2.9", {"approved_in": owner.id})


def test_client_credentials_are_the_clients_own_and_nobodys_else(heart: Heart) -> None:
    client = heart.client()

    issued = heart.service_tokens(client, scope=("files",))

    assert (issued.client_id, issued.user_id, issued.session_id, issued.sid) == (client.id, None, None, None)
    assert (issued.sub, issued.scope, issued.refresh_token) == (f"client:{client.id}", ("files",), None)
    assert (issued.resources, issued.claims_request, issued.amr) == (
        [heart.settings.url("/oauth2/userinfo")],
        {},
        [],
    )
    assert (issued.outcome, issued.issued_at) == ("client_credentials", heart.now)
    [family] = heart.all(TokenFamily)
    assert (family.client_id, family.grant_type, family.secret_hash) == (client.id, GrantType.CLIENT_CREDENTIALS, None)
    assert (family.scope, family.started_at, family.last_used_at) == (("files",), heart.now, heart.now)
    assert family.access_expires_at == issued.access_expires_at == heart.now + timedelta(minutes=5)


@pytest.mark.spec("RFC 8707", "2.2")
def test_a_service_gets_a_token_for_the_resources_that_it_asked_for(heart: Heart) -> None:
    client, asked = heart.client(), ["https://api.example/", "https://files.example/"]
    names = ProvenClient._fields

    with heart.database.autocommit() as statements:
        issued = tokens.issue_client_credentials(
            statements,
            client=ProvenClient(*(getattr(client, name) for name in names)),
            scope=("files",),
            resources=asked,
            settings=heart.settings,
            now=heart.now,
        )

    assert issued.resources == heart.family(issued).resources == asked


@pytest.mark.spec("RFC 8707", "2.2")
def test_a_refresh_is_for_the_resources_of_its_own_family_whatever_others_were_granted(heart: Heart) -> None:
    browser, client = heart.sign_in(heart.person()), heart.client()
    first = heart.redeem(heart.code(browser, client, "openid", **ASKED), client)
    second = heart.tokens_for(browser, client)
    assert isinstance(first, Issued)

    def refresh(issued: Issued) -> Issued | Refused:
        assert issued.refresh_token is not None
        return tokens.refresh(
            heart.database,
            token=issued.refresh_token.reveal(),
            client_id=client.id,
            is_authenticated=True,
            scope=None,
            resources=["https://files.example/"],
            settings=heart.settings,
            keyring=heart.keyring,
            now=heart.now,
        )

    granted, refused = refresh(first), refresh(second)

    assert isinstance(granted, Issued)
    assert granted.resources == ["https://files.example/"]
    assert heart.family(first).resources == ASKED["resources"]
    assert isinstance(refused, Refused)
    assert refused.error == "invalid_target"
