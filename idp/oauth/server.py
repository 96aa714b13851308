"""Authlib's authorization server, reduced to what we take from it: finding the grant, and rendering errors.

Its saving, generating and revoking of tokens is never used: they read, then write, then revoke, so that ten parallel
refreshes of one token all succeed.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import BaseGrant, OAuth2Error, OAuth2Payload

from idp.oauth.asked import Answer, Asked, Form, error_answer, json_answer, read_form, required
from idp.oauth.client_auth import Credentials, read_credentials
from idp.oauth.errors import UnsupportedGrantType
from idp.web import Services


class FormPayload(OAuth2Payload):
    """The parameters of a form body."""

    def __init__(self, form: Form) -> None:
        self._form = form

    @property
    def data(self) -> Any:
        """The first value of each parameter."""
        return self._form

    @property
    def datalist(self) -> Any:
        """All values of each parameter."""
        return {**{name: [value] for name, value in self._form.items()}, "resource": self._form.resources}


class FormRequest(OAuth2Request):
    """A request for programs: a checked form, and the credentials that came with it."""

    def __init__(self, asked: Asked) -> None:
        # Not Authlib's: it refuses http by the address of the request, which a TLS proxy or a loopback address makes
        # meaningless. That the issuer is https (or this very machine) is checked once, in the settings.
        self.method = "POST"
        self.uri = "/oauth2/token"
        self.headers = None  # read once, below, by rules of ours
        self.services: Services = asked.services
        self._form = read_form(asked)
        self.payload = FormPayload(self._form)
        self.credentials: Credentials = read_credentials(asked.authorizations, self._form)

    @property
    def form(self) -> Form:
        """The parameters of the body; those of the query do not exist here."""
        return self._form


class Server(AuthorizationServer):
    """The dispatcher of the token endpoint."""

    def __init__(self, grants: Iterable[type[BaseGrant]]) -> None:
        super().__init__()
        self._grants = {str(grant.GRANT_TYPE): grant for grant in grants}

    def create_oauth2_request(self, request: Asked) -> FormRequest:
        """Read a request. Raises `OAuth2Error`."""
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
    ) -> Answer:
        """An answer as JSON."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return json_answer(body, status=status, headers=pairs)

    def answer_token_request(self, asked: Asked) -> Answer:
        """The whole token endpoint: errors of reading the request included, which Authlib lets through."""
        try:
            answer: object = self.create_token_response(asked)
        except OAuth2Error as error:
            return error_answer(error)
        assert isinstance(answer, Answer)
        return answer
