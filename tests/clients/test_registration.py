"""What an operator may register, and what is refused: each refusal beside the same request mended."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from idp.clients import (
    ClientProblem,
    ClientSpec,
    CreatedClient,
    authenticate_secret,
    create_client,
    find_client,
    update_client,
)
from idp.clients.registration import _with_defaults
from idp.clients.spec_check import find_problems
from idp.db.engine import Database
from idp.db.models import RefreshBinding, RefreshRotation

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEB = ClientSpec(name="Wiki", redirect_uris=("https://wiki.example/callback",))
TOOL = ClientSpec(name="Tool", redirect_uris=("http://127.0.0.1/callback",), public=True)


def problems_of(spec: ClientSpec) -> list[str]:
    return [problem.field for problem in find_problems(_with_defaults(spec))]


def test_a_web_application_gets_the_usual_rights_and_a_secret(database: Database) -> None:
    with database.transaction() as tx:
        created = create_client(tx, spec=WEB, now=NOW)

    assert isinstance(created, CreatedClient)
    assert created.secret is not None
    assert created.secret.reveal().startswith("idp_cs_")
    assert created.client.token_endpoint_auth_method == "client_secret_basic"
    assert created.client.grant_types == ("authorization_code", "refresh_token")
    assert created.client.scopes == ("openid", "profile", "email", "address", "phone", "offline_access")
    assert created.client.id_token_signed_response_alg == "ES256"
    assert created.client.requires_pkce
    assert not created.client.is_native
    assert created.client.refresh_binding is RefreshBinding.SESSION


def test_a_public_tool_on_this_computer_has_no_secret_and_lives_beside_the_browser(database: Database) -> None:
    with database.transaction() as tx:
        created = create_client(tx, spec=TOOL, now=NOW)

    assert isinstance(created, CreatedClient)
    assert created.secret is None
    assert created.client.token_endpoint_auth_method == "none"
    assert created.client.is_native
    assert created.client.refresh_binding is RefreshBinding.STANDALONE


def test_a_client_without_redirect_uris_is_a_service_that_speaks_for_itself(database: Database) -> None:
    with database.transaction() as tx:
        created = create_client(tx, spec=ClientSpec(name="Nightly job", scopes=("reports:read",)), now=NOW)

    assert isinstance(created, CreatedClient)
    assert created.client.grant_types == ("client_credentials",)
    assert created.client.response_types == []
    assert created.client.scopes == ("reports:read",)


def test_a_confidential_client_on_loopback_is_no_native_app(database: Database) -> None:
    spec = replace(WEB, redirect_uris=("http://localhost:9001/callback",))

    with database.transaction() as tx:
        created = create_client(tx, spec=spec, now=NOW)

    assert isinstance(created, CreatedClient)
    assert not created.client.is_native


@pytest.mark.parametrize(
    ("bad", "mended", "field"),
    [
        ({"name": "  "}, {"name": "Wiki"}, "name"),
        ({"name": "a" * 201}, {"name": "a" * 200}, "name"),
        ({"name": "Wi\x00ki"}, {"name": "Wiki"}, "name"),
        ({"name": "ikiW\u202e"}, {"name": "Wíki 維基"}, "name"),
        ({"redirect_uris": ("http://a.example/cb",)}, {"redirect_uris": ("https://a.example/cb",)}, "redirect_uris"),
        ({"redirect_uris": ("https://a.example/#x",)}, {"redirect_uris": ("https://a.example/?x",)}, "redirect_uris"),
        ({"redirect_uris": ("https://[bad/",)}, {"redirect_uris": ("https://[::1]/",)}, "redirect_uris"),
        ({"redirect_uris": ("javascript:alert(1)",)}, {"redirect_uris": ("com.example.app:/cb",)}, "redirect_uris"),
        ({"redirect_uris": ("https://a.example/",) * 2}, {"redirect_uris": ("https://a.example/",)}, "redirect_uris"),
        (
            {"post_logout_redirect_uris": ("//wiki.example/bye",)},
            {"post_logout_redirect_uris": ("https://wiki.example/bye",)},
            "post_logout_redirect_uris",
        ),
        (
            {"backchannel_logout_uri": "http://wiki.example/out"},
            {"backchannel_logout_uri": "https://wiki.example/out"},
            "backchannel_logout_uri",
        ),
        (
            {"redirect_uris": ("https://a.example;script-src/",)},
            {"redirect_uris": ("https://a.example/;script-src",)},
            "redirect_uris",
        ),
        ({"logo_uri": "https://a.example'x/"}, {"logo_uri": "https://[::1]:8443/'x"}, "logo_uri"),
        ({"logo_uri": "javascript:alert(1)"}, {"logo_uri": "https://wiki.example/logo.png"}, "logo_uri"),
        ({"grant_types": ("password",)}, {"grant_types": ("authorization_code",)}, "grant_types"),
        ({"grant_types": ()}, {"grant_types": None}, "grant_types"),
        ({"grant_types": ("client_credentials",)}, {"grant_types": ("authorization_code",)}, "grant_types"),
        ({"scopes": ("open id",)}, {"scopes": ("openid",)}, "scopes"),
        ({"scopes": ("openid", "openid")}, {"scopes": ("openid",)}, "scopes"),
        ({"allowed_resources": ("orders",)}, {"allowed_resources": ("urn:orders",)}, "allowed_resources"),
        (
            {"token_endpoint_auth_method": "none"},
            {"token_endpoint_auth_method": "client_secret_post"},
            "token_endpoint_auth_method",
        ),
        (
            {"id_token_signed_response_alg": "none"},
            {"id_token_signed_response_alg": "RS256"},
            "id_token_signed_response_alg",
        ),
        (
            {"access_token_lifetime": timedelta(hours=2)},
            {"access_token_lifetime": timedelta(hours=1)},
            "access_token_lifetime",
        ),
        (
            {"refresh_leeway_lifetime": timedelta(minutes=2)},
            {"refresh_leeway_lifetime": timedelta(minutes=1)},
            "refresh_leeway_lifetime",
        ),
        (
            {"app_idle_lifetime": timedelta(days=2), "app_absolute_lifetime": timedelta(days=1)},
            {"app_idle_lifetime": timedelta(days=1), "app_absolute_lifetime": timedelta(days=1)},
            "app_idle_lifetime",
        ),
    ],
)
def test_a_registration_that_breaks_a_rule_is_refused_and_its_mended_form_is_not(
    bad: dict[str, object], mended: dict[str, object], field: str
) -> None:
    assert field in problems_of(replace(WEB, **bad))  # type: ignore[arg-type]
    assert problems_of(replace(WEB, **mended)) == []  # type: ignore[arg-type]


@pytest.mark.spec("RFC 9700", "2.1.1")
def test_only_a_confidential_client_may_do_without_pkce() -> None:
    assert problems_of(replace(TOOL, requires_pkce=False)) == ["requires_pkce"]
    assert problems_of(replace(WEB, requires_pkce=False)) == []


@pytest.mark.spec("RFC 9700", "4.14.2")
def test_only_a_confidential_client_may_keep_one_refresh_token() -> None:
    assert problems_of(replace(TOOL, refresh_rotation=RefreshRotation.OFF)) == ["refresh_rotation"]
    assert problems_of(replace(WEB, refresh_rotation=RefreshRotation.OFF)) == []


@pytest.mark.spec("RFC 6749", "4.4")
def test_a_public_client_cannot_speak_for_itself() -> None:
    grants = ("authorization_code", "client_credentials")

    assert problems_of(replace(TOOL, grant_types=grants)) == ["grant_types"]
    assert problems_of(replace(WEB, grant_types=grants)) == []


def test_a_refused_registration_writes_nothing_and_names_every_problem(database: Database) -> None:
    with database.transaction() as tx:
        refused = create_client(tx, spec=replace(WEB, name="", scopes=("a b",)), now=NOW)

    assert isinstance(refused, list)
    assert {problem.field for problem in refused} == {"name", "scopes"}


def test_an_update_keeps_what_it_does_not_name_and_is_checked_as_a_whole(database: Database) -> None:
    with database.transaction() as tx:
        created = create_client(tx, spec=replace(WEB, policy_uri="https://wiki.example/policy"), now=NOW)
        assert isinstance(created, CreatedClient)
        client_id, secret = created.client.id, created.secret
    assert secret is not None

    with database.transaction() as tx:
        refused = update_client(tx, client_id=client_id, now=NOW, redirect_uris=("http://a.example/",))
    with database.transaction() as tx:
        update_client(tx, client_id=client_id, now=NOW, redirect_uris=("https://a.example/",))

    assert isinstance(refused, list)
    assert refused[0].field == "redirect_uris"
    with database.reading() as tx:
        client = find_client(tx, client_id)
        assert client is not None
        assert client.redirect_uris == ["https://a.example/"]
        assert client.policy_uri == "https://wiki.example/policy"
        assert authenticate_secret(tx, client_id, secret.reveal(), NOW) is not None


def test_a_public_client_never_becomes_confidential(database: Database) -> None:
    with database.transaction() as tx:
        created = create_client(tx, spec=TOOL, now=NOW)
        assert isinstance(created, CreatedClient)
        refused = update_client(tx, client_id=created.client.id, now=NOW, public=False)
        renamed = update_client(tx, client_id=created.client.id, now=NOW, name="Better tool")

    assert refused == [ClientProblem("public", "can't change after registration; create another client")]
    assert not isinstance(renamed, list)
    assert renamed is not None
    assert renamed.name == "Better tool"
