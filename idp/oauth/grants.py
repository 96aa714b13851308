"""The three grants of the token endpoint: authenticate the client, call one rule, map the outcome.

Thin by intent: everything that decides is in `idp.tokens`. Keys are asked for before a transaction opens, so that a
key store that is down refuses (503) before a code or refresh token is used up.
"""

from abc import ABC, abstractmethod
from typing import Any

import structlog
from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin

from idp.clients import ClientTerms, ProvenClient
from idp.oauth.asked import Form, required
from idp.oauth.client_auth import NONE, Credentials, authenticate, prove
from idp.oauth.counting import count_outcome
from idp.oauth.errors import InvalidScope, InvalidTarget, UnauthorizedClient, error_of
from idp.oauth.server import FormRequest
from idp.oauth.token_answer import ACCESS_TOKEN_ALGORITHM, token_answer
from idp.tokens import Issued, Refused, issue_client_credentials, redeem_code, refresh
from idp.web import Services

log = structlog.get_logger(__name__)

# They are about a person; a client that speaks for itself has none (OIDC Core §5.4, §11).
_SCOPES_OF_PEOPLE = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})


class _Grant(BaseGrant, TokenEndpointMixin, ABC):
    """What the grants share. Authlib calls `validate_token_request`, then `create_token_response`."""

    @property
    def form(self) -> Form:
        assert isinstance(self.request, FormRequest)
        return self.request.form

    @property
    def services(self) -> Services:
        assert isinstance(self.request, FormRequest)
        return self.request.services

    @property
    def credentials(self) -> Credentials:
        assert isinstance(self.request, FormRequest)
        return self.request.credentials

    def validate_token_request(self) -> None:
        """All reading and refusing happens in `create_token_response`."""

    def create_token_response(self) -> Any:
        """What Authlib hands to `Server.handle_response`: status, body, headers. Raises `OAuth2Error`."""
        services = self.services
        services.keys.signer(ACCESS_TOKEN_ALGORITHM, services.clock.now())
        outcome = self.exchange()
        count_outcome(outcome, is_refresh=self.GRANT_TYPE == RefreshTokenGrant.GRANT_TYPE)
        if isinstance(outcome, Refused):
            # The cause is for operators; the caller gets the same words for all (design §5).
            log.info("grant_refused", grant_type=self.GRANT_TYPE, error=outcome.error, cause=outcome.detail)
            raise error_of(outcome)
        return 200, token_answer(_narrowed(outcome, self.form.resources), services), []

    @abstractmethod
    def exchange(self) -> Issued | Refused:
        """Call the rule."""


class AuthorizationCodeGrant(_Grant):
    """RFC 6749 §4.1.3, RFC 7636 §4.5."""

    GRANT_TYPE = "authorization_code"

    def exchange(self) -> Issued | Refused:
        """One transaction: authenticate, redeem."""
        services, code = self.services, required(self.form, "code")
        now = services.clock.now()
        with services.database.transaction() as tx:
            client = authenticate(tx, self.credentials, now)
            _refuse_unentitled(client, self.GRANT_TYPE)
            # Its ID token's key too, before the code is used up: after a 503 the client may try the same code again.
            services.keys.signer(client.id_token_signed_response_alg, now)
            outcome = redeem_code(
                tx,
                code=code,
                client=client,
                redirect_uri=self.form.get("redirect_uri"),
                code_verifier=self.form.get("code_verifier"),
                settings=services.settings,
                keyring=services.keyring,
                now=now,
            )
            if isinstance(outcome, Issued):
                # Inside: a resource that was not granted rolls back, and the code is not lost.
                _narrowed(outcome, self.form.resources)
        return outcome


class RefreshTokenGrant(_Grant):
    """RFC 6749 §6."""

    GRANT_TYPE = "refresh_token"

    def exchange(self) -> Issued | Refused:
        """At most one statement before the rule's own; none for a public client, which that statement checks itself."""
        services, token = self.services, required(self.form, "refresh_token")
        now = services.clock.now()
        scope = _read_scope(self.form.get("scope"))
        is_authenticated = self.credentials.method != NONE
        if is_authenticated:
            with services.database.single_reads() as statements:
                prove(statements, self.credentials, now)
        return refresh(
            services.database,
            token=token,
            client_id=self.credentials.client_id,
            is_authenticated=is_authenticated,
            scope=scope,
            resources=self.form.resources,
            settings=services.settings,
            keyring=services.keyring,
            now=now,
        )


class ClientCredentialsGrant(_Grant):
    """RFC 6749 §4.4: a client that speaks for itself."""

    GRANT_TYPE = "client_credentials"

    def exchange(self) -> Issued | Refused:
        """Two statements: authenticate, issue."""
        services = self.services
        now = services.clock.now()
        asked = _read_scope(self.form.get("scope"))
        resources = list(dict.fromkeys(self.form.resources))
        with services.database.autocommit() as statements:
            client = prove(statements, self.credentials, now)
            _refuse_unentitled(client, self.GRANT_TYPE)
            allowed = tuple(scope for scope in client.scopes if scope not in _SCOPES_OF_PEOPLE)
            if asked is not None and not set(asked) <= set(allowed):
                raise InvalidScope
            if not set(resources) <= set(client.allowed_resources):
                raise InvalidTarget
            return issue_client_credentials(
                statements,
                client=client,
                scope=allowed if asked is None else asked,
                resources=resources,
                settings=services.settings,
                now=now,
            )


GRANTS = (AuthorizationCodeGrant, RefreshTokenGrant, ClientCredentialsGrant)


def _refuse_unentitled(client: ClientTerms | ProvenClient, grant_type: str) -> None:
    if grant_type not in client.grant_types:
        raise UnauthorizedClient


def _read_scope(text: str | None) -> tuple[str, ...] | None:
    """The words of a scope parameter, each once; None when it was not sent (RFC 6749 §3.3)."""
    if text is None:
        return None
    words = tuple(dict.fromkeys(text.split(" ")))
    if "" in words or not text.isascii() or not text.isprintable():
        raise InvalidScope
    return words


def _narrowed(issued: Issued, resources: list[str]) -> Issued:
    """RFC 8707 §2.2: the access token of this answer for some of the granted resources. Raises `InvalidTarget`."""
    if not resources:
        return issued
    if not set(resources) <= set(issued.resources):
        raise InvalidTarget
    return issued._replace(resources=list(dict.fromkeys(resources)))
