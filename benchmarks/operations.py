"""What is measured: each operation's name, how its requests are made, and how often they may be sent.

An operation that uses something up (a code, a session) gets fresh records for every run; the others go round. A refresh
carries each answer's token into the next request of the same family, as its client would.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from benchmarks.load import HOLE, Operation, Step, request, with_hole
from benchmarks.population import CODE_CHALLENGE, PASSWORD, code_of, cookie_of, identifier
from benchmarks.world import REDIRECT, RegisteredClient, World
from idp.tokens import Issued, refresh, sign_access_token

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
CODE_VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
REFRESH_TOKEN_LENGTH, CODE_LENGTH = 103, 49
_SCOPE = "openid profile email"


@dataclass(frozen=True)
class Kind:
    """One operation. `make` gives plans for so many operations; `uses_up`: each may be sent once only."""

    name: str
    make: Callable[[World, int], Iterator[Operation]]
    count: int
    uses_up: bool = False
    is_refresh: bool = False  # compared with the same UPDATE in pgbench
    connections: tuple[int, ...] = (1, 8, 32)


def token_request(world: World, client: RegisteredClient, fields: dict[str, str], path: str = "/oauth2/token") -> bytes:
    if client.secret is None:
        fields = fields | {"client_id": client.id}
    # A hole stays as it is: it stands for text that needs no escaping.
    return request("POST", path, port=world.port, form=urlencode(fields, safe=HOLE), headers=client.headers)


def _rotations(name: str) -> Callable[[World, int], Iterator[Operation]]:
    people: dict[int, range] = {}

    def make(world: World, count: int) -> Iterator[Operation]:
        client = world.clients[name]
        if id(world) not in people:
            people[id(world)] = world.population.people(world.size(4000))
            world.population.apps(people[id(world)], client.id)
            world.population.settle()
        form = {"grant_type": "refresh_token", "refresh_token": HOLE * REFRESH_TOKEN_LENGTH}
        made = token_request(world, client, form)
        chosen = people[id(world)][:count]
        for token in world.population.refresh_tokens(chosen):
            yield [with_hole(made, capture='"refresh_token":"', fill=token)]

    return make


def _holds(world: World, count: int) -> Iterator[Operation]:
    people, client = world.population.people(count), world.clients["holding"]
    world.population.apps(people, client.id)
    world.population.rotate_just_now(people)
    for token in world.population.refresh_tokens(people):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        yield [Step(token_request(world, client, form))]


def _client_credentials(world: World, count: int) -> Iterator[Operation]:
    form = {"grant_type": "client_credentials"}
    for _ in range(count):
        yield [Step(token_request(world, world.clients["service"], form))]


def _access_tokens(world: World, client: RegisteredClient, count: int) -> Iterator[str]:
    """Fresh access tokens of as many people, by the rule itself."""
    services = world.services
    people = world.population.people(count)
    world.population.apps(people, client.id, scope=f"{_SCOPE} offline_access")
    for token in world.population.refresh_tokens(people):
        now = services.clock.now()
        issued = refresh(
            services.database, token=token, client_id=client.id, is_authenticated=client.secret is not None, scope=None,
            settings=services.settings, keyring=services.keyring, now=now,
        )  # fmt: skip
        assert isinstance(issued, Issued), issued
        signer = services.keys.signer("ES256", now)
        yield sign_access_token(issued, signer=signer, issuer=services.settings.issuer)


def _introspections(world: World, count: int) -> Iterator[Operation]:
    client = world.clients["web"]
    for token in _access_tokens(world, client, count):
        yield [Step(token_request(world, client, {"token": token}, "/oauth2/introspect"))]


def _userinfos(world: World, count: int) -> Iterator[Operation]:
    for token in _access_tokens(world, world.clients["web"], count):
        headers = {"Authorization": f"Bearer {token}"}
        yield [Step(request("GET", "/oauth2/userinfo", port=world.port, headers=headers))]


def _redemption(world: World, code: str) -> bytes:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": CODE_VERIFIER}
    return token_request(world, world.clients["web"], form)


def _redemptions(world: World, count: int) -> Iterator[Operation]:
    people = world.population.people(count)
    world.population.browsers(people)
    world.population.codes(people, world.clients["web"].id, redirect_uri=REDIRECT, scope=_SCOPE)
    for number in people:
        yield [Step(_redemption(world, code_of(number)))]


def _flows(world: World, count: int) -> Iterator[Operation]:
    people, client = world.population.people(count), world.clients["web"]
    world.population.browsers(people)
    world.population.consents(people, client.id, _SCOPE)
    query = {
        "client_id": client.id,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": _SCOPE,
        "state": "a-state",
        "nonce": "a-nonce",
        "code_challenge": CODE_CHALLENGE,
        "code_challenge_method": "S256",
    }
    path = "/oauth2/authorize?" + urlencode(query, quote_via=quote)
    redemption = with_hole(_redemption(world, HOLE * CODE_LENGTH))
    for number in people:
        headers = {"Cookie": f"idp_session={cookie_of(number)}", "User-Agent": FIREFOX}
        yield [Step(request("GET", path, port=world.port, headers=headers), 303, capture="code="), redemption]


def _revocations(world: World, count: int) -> Iterator[Operation]:
    people, client = world.population.people(count), world.clients["holding"]
    world.population.apps(people, client.id)
    for token in world.population.refresh_tokens(people):
        yield [Step(token_request(world, client, {"token": token}, "/oauth2/revoke"))]


def _documents(path: str) -> Callable[[World, int], Iterator[Operation]]:
    def make(world: World, count: int) -> Iterator[Operation]:
        for _ in range(count):
            yield [Step(request("GET", path, port=world.port))]

    return make


def page_form(world: World, path: str, fields: dict[str, str], number: int | None) -> Step:
    browser, token = world.form_of_a_page()
    cookies = browser if number is None else f"{browser}; idp_session={cookie_of(number)}"
    headers = {"Cookie": cookies, "User-Agent": FIREFOX, "Origin": world.services.settings.issuer}
    form = urlencode(fields | {"csrf_token": token})
    return Step(request("POST", path, port=world.port, form=form, headers=headers), 303)


def _sign_ins(world: World, count: int) -> Iterator[Operation]:
    for number in world.population.people(count):
        yield [page_form(world, "/login", {"username": f"person{number}", "password": PASSWORD}, None)]


def _single_ends(world: World, count: int) -> Iterator[Operation]:
    people = world.population.people(count)
    world.population.browsers(people)
    world.population.apps(people, world.clients["holding"].id)
    for number in people:
        yield [page_form(world, f"/account/sessions/{identifier('a', number)}/end", {}, number)]


def _ends_of_everything(participations: int) -> Callable[[World, int], Iterator[Operation]]:
    def make(world: World, count: int) -> Iterator[Operation]:
        people = world.population.people(count)
        world.population.browsers(people)
        world.population.applications(people, world.applications[:participations])
        for number in people:
            yield [page_form(world, "/account/sessions/end-everywhere", {}, number)]

    return make


KINDS = (
    Kind("refresh, rotating, ES256", _rotations("rotating"), 4000, is_refresh=True),
    Kind("refresh, rotating, RS256 ID token", _rotations("rotating RS256"), 4000, is_refresh=True),
    Kind("refresh, rotating, client with a secret", _rotations("rotating confidential"), 4000, is_refresh=True),
    Kind("refresh, holding", _holds, 1000, is_refresh=True),
    Kind("client_credentials", _client_credentials, 64),
    Kind("introspection", _introspections, 200),
    Kind("introspection, token not seen before", _introspections, 1200, uses_up=True),
    Kind("userinfo", _userinfos, 200),
    Kind("userinfo, token not seen before", _userinfos, 1200, uses_up=True),
    Kind("code exchange", _redemptions, 1200, uses_up=True),
    Kind("whole code flow, signed in", _flows, 1000),
    Kind("revoke", _revocations, 1200, uses_up=True),
    Kind("discovery", _documents("/.well-known/openid-configuration"), 64),
    Kind("JWKS", _documents("/oauth2/jwks"), 64),
    Kind("sign in with a password", _sign_ins, 100),
    Kind("end one session", _single_ends, 600, uses_up=True),
    Kind("sign out everywhere, 1 application", _ends_of_everything(1), 400, uses_up=True),
    Kind("sign out everywhere, 100 applications", _ends_of_everything(100), 80, uses_up=True),
    Kind("sign out everywhere, 1,000 applications", _ends_of_everything(1000), 24, uses_up=True),
)
