"""docs/house.md is a map of the house that stands: its rooms, tables and invariants, and what its hot paths cost."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from idp.db.models import Base
from tests.docs.pages import ROOT, table_under
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock, Heart
from tests.support.pages import PASSWORD, Visitor
from tests.support.statements import statements_of

PAGE = ROOT / "docs" / "house.md"
OFFLINE = "openid offline_access"


def test_every_room_is_on_the_map() -> None:
    rooms = {f"`idp/{path.parent.name}/`" for path in (ROOT / "idp").glob("*/__init__.py")}
    front_doors = {"`idp/cli/`", "`idp/worker/`"}

    assert {row[0] for row in table_under(PAGE, "Rooms and floors")} == rooms - front_doors


def test_every_table_has_who_writes_it() -> None:
    named = {name for row in table_under(PAGE, "Who writes which table") for name in re.findall(r"`(\w+)`", row[0])}

    assert named == set(Base.metadata.tables)


def test_every_invariant_names_the_tests_that_hold_it() -> None:
    rows = list(table_under(PAGE, "Invariants"))

    assert [row[0] for row in rows] == [f"I{number}" for number in range(1, 19)]
    assert all("::test_" in row[2] for row in rows)


def test_the_hot_paths_take_the_number_of_statements_that_the_map_says(
    provider: Provider,
    signed_in: Visitor,
    rp: RelyingParty,
    cli_app: RelyingParty,
    service: RelyingParty,
    clock: HandClock,
    count_statements: Callable[[], AbstractContextManager[list[str]]],
) -> None:
    counts: dict[str, int] = {}

    def measure(what: str, act: Callable[[], Any]) -> Any:
        provider.get("/oauth2/jwks")  # keys are read once per process and ten seconds
        with count_statements() as statements:
            answer = act()
        counts[what] = len(statements)
        return answer

    def code_in(answer: Any) -> str:
        return dict(parse_qsl(urlsplit(answer.location).query))["code"]

    provider.heart.change(rp.client, backchannel_logout_uri="https://rp.example/logout")
    tokens, tool = rp.sign_in(signed_in), cli_app.sign_in(signed_in, scope=OFFLINE)
    rp.sign_in(signed_in, scope=OFFLINE)
    measure("refresh, public client", lambda: cli_app.refresh(tool).access_token)
    tokens = measure("refresh, client with a secret", lambda: rp.refresh(tokens))
    measure("introspection", lambda: rp.introspect(tokens.access_token)["sub"])
    measure("userinfo", lambda: rp.userinfo(tokens).get_json()["sub"])
    measure("client credentials", lambda: service.client_credentials().access_token)
    signed_in.get("/account/sessions")  # notes the activity of this minute
    measure("any page: who is signed in", lambda: signed_in.get("/account"))
    answer = measure("authorize, signed in and allowed", lambda: signed_in.get(rp.address(scope="openid")))
    other = provider.relying_party(name="Calendar", is_first_party=True)
    answer = signed_in.get(other.address(scope="openid"))
    measure("redeem a code, browser session", lambda: other.redeem(code_in(answer)).access_token)
    answer = signed_in.get(rp.address(scope=OFFLINE))
    measure("redeem a code, new app session", lambda: rp.redeem(code_in(answer)).access_token)
    measure("*Signed-in devices*", lambda: signed_in.get("/account/sessions"))
    form = provider.visitor()
    page = form.page("/login").forms[0]
    measure(
        "sign in with a password", lambda: form.submit(page, button="login-submit", username="ada", password=PASSWORD)
    )
    everywhere = signed_in.page("/account/sessions/end-everywhere").form("/account/sessions/end-everywhere")
    measure("sign out everywhere", lambda: signed_in.submit(everywhere))
    measure("discovery, JWKS", lambda: provider.get("/oauth2/jwks"))

    column = 2 if provider.services.database.engine.dialect.name == "postgresql" else 3
    assert counts == {row[0]: int(row[column]) for row in table_under(PAGE, "Hot paths: route → rule → SQL")}


def test_sign_out_everywhere_takes_the_same_number_however_many_sessions_and_applications_there_are(
    heart: Heart,
) -> None:
    clients = [heart.client(backchannel_logout_uri="https://app.example/logout"), heart.client()] * 3

    def count(browsers: int) -> int:
        person = heart.person()
        for _ in range(browsers):
            started = heart.sign_in(person)
            for client in clients:
                heart.tokens_for(started, client)
        with statements_of(heart.database.engine) as statements:
            assert heart.end_everything(person).browsers == browsers
        return len(statements)

    assert count(1) == count(12)
