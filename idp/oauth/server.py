"""Authlib's authorization server, reduced to what we take from it: finding the grant, and rendering errors.

Requests are form bodies only (RFC 6749 §3.2), each parameter at most once. Its saving, generating and revoking of
tokens is never used: they read, then write, then revoke, so that ten parallel refreshes of one token all succeed.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import BaseGrant, OAuth2Error, OAuth2Payload
from flask import Request, Response
from werkzeug.datastructures import MultiDict

from idp.oauth.client_auth import Credentials, read_credentials
from idp.oauth.errors import InvalidRequest, UnsupportedGrantType

FORM = "application/x-www-form-urlencoded"
MAXIMUM_VALUE = 8192
# RFC 8707 §2: the one parameter that may be repeated.
REPEATABLE = frozenset({"resource"})


class FormPayload(OAuth2Payload):
    """The parameters of a form body."""

    def __init__(self, form: MultiDict[str, str]) -> None:
        self._form = form

    @property
    def data(self) -> Any:
        """The first value of each parameter."""
        return self._form

    @property
    def datalist(self) -> Any:
        """All values of each parameter."""
        return dict(self._form.lists())


class FormRequest(OAuth2Request):
    """A request for programs: a checked form, and the credentials that came with it."""

    def __init__(self, request: Request) -> None:
        # Not Authlib's: it refuses http by the address of the request, which a TLS proxy or a loopback address makes
        # meaningless. That the issuer is https (or this very machine) is checked once, in the settings.
        self.method = request.method
        self.uri = request.path
        self.headers = None  # read once, below, by rules of ours
        self._form = read_form(request)
        self.payload = FormPayload(self._form)
        self.credentials: Credentials = read_credentials(request.headers, self._form)

    @property
    def form(self) -> Any:
        """The parameters of the body; those of the query do not exist here."""
        return self._form


def read_form(request: Request) -> MultiDict[str, str]:
    """The body's parameters, empty ones left out (RFC 6749 §3.2). Raises `InvalidRequest`."""
    if request.mimetype != FORM:
        raise InvalidRequest(f"The body must be {FORM}.")
    form = MultiDict([(name, value) for name, value in request.form.items(multi=True) if value])
    refuse_malformed(form)
    return form


def refuse_malformed(form: MultiDict[str, str], known: Iterable[str] | None = None) -> None:
    """Raise `InvalidRequest` when a parameter comes twice or is larger than any of ours can be (RFC 6749 §3.2)."""
    for name in form if known is None else known:
        values = form.getlist(name)
        if len(values) > 1 and name not in REPEATABLE:
            raise InvalidRequest("A parameter is included more than once.")
        if any(len(value) > MAXIMUM_VALUE for value in values):
            raise InvalidRequest("A parameter is too long.")


def required(form: MultiDict[str, str], name: str) -> str:
    """A parameter that must be there. `name` is one of ours, so it may stand in the error."""
    value = form.get(name)
    if not value:
        raise InvalidRequest(f"The parameter {name} is missing.")
    return value


class Server(AuthorizationServer):
    """The dispatcher of the token endpoint."""

    def __init__(self, grants: Iterable[type[BaseGrant]]) -> None:
        super().__init__()
        self._grants = {str(grant.GRANT_TYPE): grant for grant in grants}

    def create_oauth2_request(self, request: Request) -> FormRequest:
        """Read a Flask request. Raises `OAuth2Error`."""
        return FormRequest(request)

    def get_token_grant(self, request: OAuth2Request) -> BaseGrant:
        """The grant for a request; Authlib's own error would repeat what the caller sent."""
        assert isinstance(request, FormRequest)
        grant = self._grants.get(required(request.form, "grant_type"))
        if grant is None:
            raise UnsupportedGrantType
        return grant(request, self)

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def handle_response(
        self, status: int, body: Mapping[str, object], headers: Collection[tuple[str, str]] | Mapping[str, str]
    ) -> Response:
        """An answer as JSON, never stored (RFC 6749 §5.1)."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return json_response(body, status=status, headers=pairs)

    def answer_token_request(self, request: Request) -> Response:
        """The whole token endpoint: errors of reading the request included, which Authlib lets through."""
        try:
            response: object = self.create_token_response(request)
        except OAuth2Error as error:
            return error_response(error)
        assert isinstance(response, Response)
        return response


def json_response(
    body: Mapping[str, object], *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """A JSON answer that no cache keeps."""
    challenges = [(name, value) for name, value in headers if name == "WWW-Authenticate"]
    return Response(
        json.dumps(body, separators=(",", ":")),
        status=status,
        headers=[("Cache-Control", "no-store"), ("Pragma", "no-cache"), *challenges],
        mimetype="application/json",
    )


def error_response(error: OAuth2Error) -> Response:
    """An OAuth error as JSON (RFC 6749 §5.2)."""
    status, body, headers = error()
    return json_response(body, status=status, headers=headers)
