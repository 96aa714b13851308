"""An authorization request, read as one table of small named checks (OIDC Core §3.1.2.1, RFC 6749 §4.1.1).

The first checks establish the client and the redirect URI: until both stand, an error is a page and never a redirect
(RFC 9700 §4.11). The others may then answer the client. Each looks at one thing and fills in one part of the request;
their order is that of the table. Nothing here asks the database or shows a page.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from idp.clients import AskingClient
from idp.kit.uris import redirect_uri_matches
from idp.oauth.claims_request import ClaimsRequest, MalformedClaims, read_claims_request
from idp.tokens import IdTokenHint

PARAMETERS = (
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "claims",
    "resource",
    "request",
    "request_uri",
)
# What is worth keeping of a request that is put aside. A hint is verified once and kept as the `sub` it names: tokens
# are not stored in clear.
STORED_PARAMETERS = tuple(
    name for name in PARAMETERS if name not in {"id_token_hint", "login_hint", "request", "request_uri"}
)
HINTED_SUB = "hinted_sub"
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
RESPONSE_MODES = frozenset({"query", "form_post"})

_SCOPE_WORDS = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*\Z")
_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # RFC 7636 §4.2: base64url of 32 bytes
_SECONDS = re.compile(r"[0-9]{1,9}\Z")
MAXIMUM_STATE = 2048
MAXIMUM_NONCE = 512
MAXIMUM_SCOPE = 2048
MAXIMUM_RESOURCES = 20
MAXIMUM_LOGIN_HINT = 254


@dataclass(frozen=True)
class Refusal:
    """Why a request is not honoured. Before the redirect is verified it becomes a page, afterwards a redirect."""

    error: str
    description: str


@dataclass
class AuthorizeRequest:
    """A request as far as its checks have filled it in; complete once all of them have passed."""

    client: AskingClient
    redirect_uri: str = ""
    response_mode: str = "query"
    state: str | None = None
    scope: tuple[str, ...] = ()
    nonce: str | None = None
    code_challenge: str | None = None
    prompt: frozenset[str] = frozenset()
    max_age: timedelta | None = None
    hinted_sub: str | None = None
    login_hint: str | None = None
    claims: ClaimsRequest = field(default_factory=ClaimsRequest)
    resources: tuple[str, ...] = ()

    @property
    def asked_scopes(self) -> tuple[str, ...]:
        """What the person must have allowed: the scopes, and those behind claims that are asked for by name."""
        implied = [scope for scope in self.claims.implied_scopes if scope in self.client.scopes]
        return tuple(dict.fromkeys((*self.scope, *implied)))


@dataclass(frozen=True)
class Parameters:
    """The parameters as they were sent, empty ones left out (RFC 6749 §3.1)."""

    values: Mapping[str, Sequence[str]]

    def find(self, name: str) -> str | None:
        """The parameter's value, or None."""
        values = self.values.get(name)
        return values[0] if values else None

    def count(self, name: str) -> int:
        """How often it was sent."""
        return len(self.values.get(name, ()))


ReadHint = Callable[[str], IdTokenHint | None]
Check = Callable[[Parameters, AuthorizeRequest, ReadHint], Refusal | None]


def check_redirect_uri(sent: Parameters, request: AuthorizeRequest) -> Refusal | None:
    """OIDC Core §3.1.2.1: required, and equal to a registered one as a string (RFC 9700 §2.1)."""
    uri = sent.find("redirect_uri")
    if uri is None:
        return Refusal("invalid_request", "The parameter redirect_uri is missing.")
    if sent.count("redirect_uri") > 1:
        return Refusal("invalid_request", "The parameter redirect_uri is included more than once.")
    if not any(redirect_uri_matches(registered, uri) for registered in request.client.redirect_uris):
        return Refusal("invalid_request", "The redirect_uri is not registered for this client.")
    request.redirect_uri = uri
    return None


def _check_response_mode(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    mode = sent.find("response_mode") or "query"
    if mode not in RESPONSE_MODES or sent.count("response_mode") > 1:
        return Refusal("invalid_request", "The response_mode must be query or form_post.")
    request.response_mode = mode
    return None


def _check_state(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    # A repeated or oversized state is not repeated back: nobody could tell which one was meant.
    state = sent.find("state")
    if sent.count("state") > 1 or len(state or "") > MAXIMUM_STATE:
        return Refusal("invalid_request", "The state is included more than once or too long.")
    request.state = state
    return None


def _check_repetition(sent: Parameters, _request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    # RFC 6749 §3.1; RFC 8707 §2 allows several resources.
    for name in PARAMETERS:
        if sent.count(name) > 1 and name != "resource":
            return Refusal("invalid_request", f"The parameter {name} is included more than once.")
    return None


def _check_request_objects(sent: Parameters, _request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    # OIDC Core §6.1, §6.2: never ignored, because what it says would differ from what we read.
    if sent.find("request"):
        return Refusal("request_not_supported", "Request objects are not supported.")
    if sent.find("request_uri"):
        return Refusal("request_uri_not_supported", "Request objects are not supported.")
    return None


def _check_response_type(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    response_type = sent.find("response_type")
    if response_type is None:
        return Refusal("invalid_request", "The parameter response_type is missing.")
    if response_type != "code":
        return Refusal("unsupported_response_type", "Only the response_type code is supported.")
    if "authorization_code" not in request.client.grant_types:
        return Refusal("unauthorized_client", "The client may not use the authorization code grant.")
    return None


def _check_scope(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    text = sent.find("scope")
    if text is None:
        return Refusal("invalid_scope", "The parameter scope is missing.")
    if len(text) > MAXIMUM_SCOPE or not _SCOPE_WORDS.match(text):
        return Refusal("invalid_scope", "The scope is malformed.")
    words = tuple(dict.fromkeys(text.split(" ")))
    # Deviation: OIDC Core §3.1.2.1 would ignore scopes that are not understood. Silently giving less than was asked
    # hides a wrong registration until somebody misses data, so it is said at once.
    if not set(words) <= set(request.client.scopes):
        return Refusal("invalid_scope", "The scope contains a value that is not allowed for this client.")
    request.scope = words
    return None


def _check_nonce(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    nonce = sent.find("nonce")
    if len(nonce or "") > MAXIMUM_NONCE:
        return Refusal("invalid_request", "The nonce is too long.")
    request.nonce = nonce
    return None


def _check_pkce(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    challenge, method = sent.find("code_challenge"), sent.find("code_challenge_method")
    if challenge is None:
        if method is not None:
            return Refusal("invalid_request", "The code_challenge_method needs a code_challenge.")
        if request.client.requires_pkce:
            return Refusal("invalid_request", "A code_challenge with the method S256 is required.")
        return None
    # RFC 7636 §4.3: a missing method means plain, which RFC 9700 §2.1.1 advises against: it shows the verifier.
    if method != "S256":
        return Refusal("invalid_request", "The code_challenge_method must be S256.")
    if not _S256_CHALLENGE.match(challenge):
        return Refusal("invalid_request", "The code_challenge is malformed.")
    request.code_challenge = challenge
    return None


def _check_prompt(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    prompt = frozenset((sent.find("prompt") or "").split())
    if not prompt <= PROMPTS:
        return Refusal("invalid_request", "The prompt is malformed.")
    if "none" in prompt and len(prompt) > 1:
        return Refusal("invalid_request", "The prompt none excludes the others.")
    request.prompt = prompt
    return None


def _check_max_age(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    text = sent.find("max_age")
    if text is None:
        return None
    if not _SECONDS.match(text):
        return Refusal("invalid_request", "The max_age must be a number of seconds.")
    request.max_age = timedelta(seconds=int(text))
    return None


def _check_hints(sent: Parameters, request: AuthorizeRequest, read_hint: ReadHint) -> Refusal | None:
    login_hint = sent.find("login_hint")
    request.login_hint = login_hint if login_hint and len(login_hint) <= MAXIMUM_LOGIN_HINT else None
    request.hinted_sub = sent.find(HINTED_SUB)
    text = sent.find("id_token_hint")
    if text is None:
        return None
    hint = read_hint(text)
    # A token of another client in this one's hands says that somebody passes them on.
    if hint is None or hint.audience != request.client.id:
        return Refusal("invalid_request", "The id_token_hint is not an ID token that this client was given here.")
    request.hinted_sub = hint.sub
    return None


def _check_claims(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    text = sent.find("claims")
    if text is None:
        return None
    try:
        request.claims = read_claims_request(text)
    except MalformedClaims:
        return Refusal("invalid_request", "The claims parameter is malformed.")
    return None


def _check_resources(sent: Parameters, request: AuthorizeRequest, _: ReadHint) -> Refusal | None:
    resources = tuple(dict.fromkeys(sent.values.get("resource", ())))
    # RFC 8707 §2. The registered ones are well-formed, so membership is the whole check.
    if len(resources) > MAXIMUM_RESOURCES or not set(resources) <= set(request.client.allowed_resources):
        return Refusal("invalid_target", "The resource is not allowed for this client.")
    request.resources = resources
    return None


CHECKS: tuple[Check, ...] = (
    # First the two that say how any further error is answered.
    _check_state,
    _check_response_mode,
    _check_repetition,
    _check_request_objects,
    _check_response_type,
    _check_scope,
    _check_nonce,
    _check_pkce,
    _check_prompt,
    _check_max_age,
    _check_hints,
    _check_claims,
    _check_resources,
)


def run_checks(sent: Parameters, request: AuthorizeRequest, read_hint: ReadHint) -> Refusal | None:
    """The first refusal of the table, or None when the request is good. `request` is filled in as far as it went."""
    return next((refusal for check in CHECKS if (refusal := check(sent, request, read_hint))), None)


def to_stored(sent: Parameters, request: AuthorizeRequest) -> dict[str, Any]:
    """What is put aside while a person answers a page. Taken up again, it goes through the same checks."""
    kept: dict[str, Any] = {name: list(sent.values[name]) for name in STORED_PARAMETERS if sent.values.get(name)}
    flat: dict[str, Any] = {name: values if name == "resource" else values[0] for name, values in kept.items()}
    if request.login_hint:
        flat["login_hint"] = request.login_hint
    if request.hinted_sub:
        flat[HINTED_SUB] = request.hinted_sub
    return flat


def from_stored(parameters: Mapping[str, Any]) -> Parameters:
    """The parameters of a stored request."""
    return Parameters(
        {name: tuple(value) if isinstance(value, list) else (value,) for name, value in parameters.items() if value}
    )
