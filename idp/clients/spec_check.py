"""What a client's registration may say: the form of `ClientSpec`, and every rule that it must keep.

Pure: no database, no clock. Serves RFC 7591 §2, RFC 9700 §2.1, §2.1.1, §2.4 and §4.14.2, RFC 8707 §2.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from idp.db.models import RefreshBinding, RefreshRotation
from idp.kit.uris import find_redirect_uri_problem, find_web_uri_problem, origin_of
from idp.kit.wording import is_storable

GRANT_TYPES = frozenset({"authorization_code", "refresh_token", "client_credentials"})
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post"})
ID_TOKEN_ALGORITHMS = frozenset({"ES256", "RS256"})
# RFC 6749 §3.3: printable ASCII without space, quote and backslash.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Origins go into the policies of our pages: nothing in one may end a directive and begin another.
_SOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?)?\Z")
MAX_URIS = 50
MAX_SCOPES = 100
MAX_NAME_LENGTH = 200
LONGEST_ACCESS_TOKEN = timedelta(hours=1)


@dataclass(frozen=True)
class ClientProblem:
    """One reason why a client can't be registered: the field, and what is wrong with it, for the operator."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field} {self.problem}"


@dataclass(frozen=True)
class ClientSpec:
    """What is asked for. None means: the usual value for this sort of client (see `registration`)."""

    name: str
    redirect_uris: tuple[str, ...] = ()
    public: bool = False
    is_first_party: bool = False
    requires_pkce: bool = True
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    frontchannel_logout_uri: str | None = None
    frontchannel_logout_session_required: bool = True
    grant_types: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    token_endpoint_auth_method: str | None = None
    id_token_signed_response_alg: str = "ES256"
    allowed_resources: tuple[str, ...] = ()
    default_resource: str | None = None
    resource_identifiers: tuple[str, ...] = ()
    logo_uri: str | None = None
    client_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    refresh_binding: RefreshBinding | None = None
    refresh_rotation: RefreshRotation = RefreshRotation.ALWAYS
    refresh_extends_session: bool = True
    wants_logout_reason: bool = False
    access_token_lifetime: timedelta | None = None
    app_idle_lifetime: timedelta | None = None
    app_absolute_lifetime: timedelta | None = None
    refresh_leeway_lifetime: timedelta | None = None
    lost_answer_lifetime: timedelta | None = None


def find_problems(spec: ClientSpec) -> list[ClientProblem]:
    """Every reason why `spec`, with its defaults filled in, can't be registered. Empty: it can."""
    checks = (
        _check_name,
        _check_uris,
        _check_frontchannel,
        _check_grants,
        _check_scopes,
        _check_resources,
        _check_protection,
        _check_lifetimes,
    )
    return [problem for check in checks for problem in check(spec)]


def _check_name(spec: ClientSpec) -> Iterator[ClientProblem]:
    if not spec.name.strip() or len(spec.name) > MAX_NAME_LENGTH:
        yield ClientProblem("name", f"must have 1 to {MAX_NAME_LENGTH} characters")
    # Direction overrides would let a consent page show another name than was registered.
    elif _CONTROL.search(spec.name) or not is_storable(spec.name):
        yield ClientProblem("name", "contains control characters")


def _check_uris(spec: ClientSpec) -> Iterator[ClientProblem]:
    for field, uris in (
        ("redirect_uris", spec.redirect_uris),
        ("post_logout_redirect_uris", spec.post_logout_redirect_uris),
    ):
        if len(uris) > MAX_URIS or len(set(uris)) != len(uris):
            yield ClientProblem(field, f"must hold at most {MAX_URIS} addresses, each once")
        for uri in uris:
            if problem := find_redirect_uri_problem(uri):
                yield ClientProblem(field, f"{_shown(uri)} {problem}")
            elif not _SOURCE.match(origin_of(uri)):
                yield ClientProblem(field, f"{_shown(uri)} has a host name with characters that no host name has")
    for field in (
        "backchannel_logout_uri",
        "frontchannel_logout_uri",
        "logo_uri",
        "client_uri",
        "policy_uri",
        "tos_uri",
    ):
        uri = getattr(spec, field)
        if uri is not None and (problem := find_web_uri_problem(uri)):
            yield ClientProblem(field, f"{_shown(uri)} {problem}")
        elif uri is not None and not _SOURCE.match(origin_of(uri)):
            yield ClientProblem(field, f"{_shown(uri)} has a host name with characters that no host name has")


def _check_frontchannel(spec: ClientSpec) -> Iterator[ClientProblem]:
    uri = spec.frontchannel_logout_uri
    if uri is None or find_web_uri_problem(uri):
        return  # said by `_check_uris`
    # Front-Channel Logout §2: scheme, host and port of a redirect URI. Our page opens it in people's browsers.
    if origin_of(uri) not in {origin_of(own) for own in spec.redirect_uris if find_redirect_uri_problem(own) is None}:
        yield ClientProblem(
            "frontchannel_logout_uri",
            f"{_shown(uri)} must have the scheme, host and port of one of the redirect URIs (Front-Channel Logout §2)",
        )


def _check_grants(spec: ClientSpec) -> Iterator[ClientProblem]:
    grants = set(spec.grant_types or ())
    if not grants or not grants <= GRANT_TYPES:
        yield ClientProblem("grant_types", f"must be some of {_listed(GRANT_TYPES)}")
    if "authorization_code" in grants and not spec.redirect_uris:
        yield ClientProblem("redirect_uris", "must name at least one address for the grant authorization_code")
    if "authorization_code" not in grants and spec.redirect_uris:
        yield ClientProblem("grant_types", "must include authorization_code, because there are redirect URIs")
    if "refresh_token" in grants and "authorization_code" not in grants:
        yield ClientProblem("grant_types", "refresh_token needs authorization_code")
    if spec.public and "client_credentials" in grants:
        yield ClientProblem("grant_types", "client_credentials is only for clients with a secret (RFC 6749 §4.4)")


def _check_scopes(spec: ClientSpec) -> Iterator[ClientProblem]:
    scopes = spec.scopes or ()
    if len(scopes) > MAX_SCOPES or len(set(scopes)) != len(scopes):
        yield ClientProblem("scopes", f"must hold at most {MAX_SCOPES} words, each once")
    for scope in scopes:
        if not _SCOPE.match(scope):
            yield ClientProblem("scopes", f"{_shown(scope)} has characters that a scope can't have (RFC 6749 §3.3)")


def _check_resources(spec: ClientSpec) -> Iterator[ClientProblem]:
    for field in ("allowed_resources", "resource_identifiers"):
        for resource in getattr(spec, field):
            if problem := find_resource_problem(resource):
                yield ClientProblem(field, f"{_shown(resource)} {problem}")
    if spec.public and spec.resource_identifiers:
        yield ClientProblem("resource_identifiers", "need a client with a secret, because only such may introspect")


def find_resource_problem(resource: str) -> str | None:
    """Why a text can't be a resource indicator, or None (RFC 8707 §2: an absolute URI without a fragment)."""
    try:
        parts = urlsplit(resource)
    except ValueError:
        return "is not a URI"
    is_absolute = bool(parts.scheme) and bool(parts.netloc or parts.path)
    if not is_absolute or "#" in resource or len(resource) > 2000 or not re.fullmatch(r"[\x21-\x7e]+", resource):
        return "is not an absolute URI without a fragment"
    return None


def _check_protection(spec: ClientSpec) -> Iterator[ClientProblem]:
    method = spec.token_endpoint_auth_method
    if spec.public and method != "none":
        yield ClientProblem("token_endpoint_auth_method", "of a public client can only be none")
    if not spec.public and method not in SECRET_METHODS:
        yield ClientProblem("token_endpoint_auth_method", f"must be one of {_listed(SECRET_METHODS)}")
    if spec.public and not spec.requires_pkce:
        yield ClientProblem("requires_pkce", "can't be switched off for a public client (RFC 9700 §2.1.1)")
    if spec.public and spec.refresh_rotation is RefreshRotation.OFF:
        yield ClientProblem("refresh_rotation", "can't be switched off for a public client (RFC 9700 §4.14.2)")
    if spec.id_token_signed_response_alg not in ID_TOKEN_ALGORITHMS:
        yield ClientProblem("id_token_signed_response_alg", f"must be one of {_listed(ID_TOKEN_ALGORITHMS)}")


def _check_lifetimes(spec: ClientSpec) -> Iterator[ClientProblem]:
    second, minute, day = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
    for field, lowest, highest in (
        # Everything issued dies this long after a sign-out at the latest; keys stay published for as long.
        ("access_token_lifetime", 10 * second, LONGEST_ACCESS_TOKEN),
        ("app_idle_lifetime", minute, 3650 * day),
        ("app_absolute_lifetime", minute, 3650 * day),
        # Within the leeway a stolen token goes unnoticed (design §5), so it can't be made long.
        ("refresh_leeway_lifetime", 0 * second, minute),
        ("lost_answer_lifetime", 0 * second, 7 * day),
    ):
        value = getattr(spec, field)
        if value is not None and not lowest <= value <= highest:
            yield ClientProblem(field, f"must lie between {lowest} and {highest}")
    if spec.app_idle_lifetime and spec.app_absolute_lifetime and spec.app_idle_lifetime > spec.app_absolute_lifetime:
        yield ClientProblem("app_idle_lifetime", "is longer than app_absolute_lifetime")


def _shown(text: str) -> str:
    return ascii(text[:100])


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
