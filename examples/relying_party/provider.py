"""Everything this application asks of the provider, through Authlib's Flask client.

Authlib does discovery, PKCE, state, nonce and the ID token; added here is what it leaves to the application: that the
metadata is really our issuer's, `iss` in the authorization response (RFC 9207), and keys that are fetched anew.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from authlib.integrations.flask_client import OAuth
from flask import Flask, Response
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet
from requests import RequestException

from examples.relying_party.configuration import Configuration
from examples.relying_party.database import PendingSignIns
from examples.relying_party.logout_token import LogoutNotice, LogoutTokenError, verify_logout_token
from examples.relying_party.sessions import SignIn

SCOPE = "openid profile email"
TIMEOUT_SECONDS = 5
ALGORITHMS = ("ES256", "RS256", "PS256")  # asymmetric ones only: `none` and HS256 can't be talked into us
KEYS_GOOD_FOR_SECONDS = 3600
KEYS_FETCHED_AT_MOST_EVERY_SECONDS = 10


class ProviderError(Exception):
    """The provider answered something that must not be trusted. The message is safe to show."""


class Provider:
    """The one provider of this application; safe for threads."""

    def __init__(
        self, app: Flask, configuration: Configuration, pending: PendingSignIns, clock: Callable[[], float]
    ) -> None:
        self._configuration = configuration
        self._clock = clock
        self._keys_lock = threading.Lock()
        self._keys_fetched_at: float | None = None
        self._client: Any = OAuth(app, cache=pending).register(  # type: ignore[no-untyped-call]
            "provider",
            client_id=configuration.client_id,
            client_secret=configuration.client_secret,
            server_metadata_url=configuration.issuer.rstrip("/") + "/.well-known/openid-configuration",
            client_kwargs={
                "scope": SCOPE,
                "code_challenge_method": "S256",
                "default_timeout": TIMEOUT_SECONDS,
            },
        )

    def metadata(self) -> Mapping[str, Any]:
        """The discovery document, fetched once. Raises ProviderError, or requests' exceptions when unreachable."""
        metadata: dict[str, Any] = self._client.load_server_metadata()
        # OpenID Connect Discovery §4.3: without this, one provider could answer in another's name.
        if metadata.get("issuer") != self._configuration.issuer:
            raise ProviderError("The provider's discovery document names another issuer than OP_ISSUER.")
        offered = metadata.get("id_token_signing_alg_values_supported", [])
        metadata["id_token_signing_alg_values_supported"] = [alg for alg in ALGORITHMS if alg in offered]
        return metadata

    def redirect_to_sign_in(self, redirect_uri: str) -> Response:
        """Send the browser to the provider."""
        self.metadata()
        response: Response = self._client.authorize_redirect(redirect_uri)
        return response

    def finish_sign_in(self, answer: Mapping[str, str]) -> SignIn:
        """Redeem the code in the current request, whose query is `answer`.

        Raises ProviderError, Authlib's OAuthError, joserfc's JoseError, or requests' exceptions.
        """
        metadata = self.metadata()
        # RFC 9207 §2.4: the answer of another provider must not reach this one (mix-up attack).
        must_name_issuer = "iss" in answer or metadata.get("authorization_response_iss_parameter_supported")
        if must_name_issuer and answer.get("iss") != self._configuration.issuer:
            raise ProviderError("The answer did not come from our provider.")
        token = self._client.authorize_access_token(
            claims_options={
                "iss": {"essential": True, "values": [self._configuration.issuer]},
                "aud": {"essential": True, "values": [self._configuration.client_id]},
            }
        )
        claims = token.get("userinfo")
        if not claims or not token.get("access_token"):
            raise ProviderError("The provider sent no ID token or no access token.")
        profile = {**self._find_profile(token["access_token"], claims["sub"]), **claims}
        return SignIn(
            sub=claims["sub"],
            sid=claims.get("sid"),
            claims={name: profile[name] for name in ("name", "preferred_username", "email") if name in profile},
            issued_at=float(claims["iat"]),
            id_token=token["id_token"],
            access_token=token["access_token"],
            refresh_token=token.get("refresh_token"),
        )

    def _find_profile(self, access_token: str, sub: str) -> Mapping[str, Any]:
        """Name and address, which the ID token need not have (OpenID Connect Core §5.4); nothing when it can't be had.

        Only for the same `sub` as in the ID token: another answer is about somebody else (§5.3.2).
        """
        try:
            profile = self.userinfo(access_token)
        except (RequestException, ProviderError):
            return {}
        return profile if profile.get("sub") == sub else {}

    def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """New tokens. Raises OAuthError (`invalid_grant`: the session is over), or requests' exceptions."""
        self.metadata()
        token: Mapping[str, Any] = self._client.fetch_access_token(
            grant_type="refresh_token", refresh_token=refresh_token
        )
        return token

    def userinfo(self, access_token: str) -> Mapping[str, Any]:
        """What the provider says about the person. Raises ProviderError or requests' HTTPError (401: dead token)."""
        if "userinfo_endpoint" not in self.metadata():
            raise ProviderError("The provider offers no details about people.")
        try:
            claims: Mapping[str, Any] = self._client.userinfo(
                token={"access_token": access_token, "token_type": "Bearer"}
            )
        except (TypeError, ValueError) as error:
            raise ProviderError("The provider's details can't be read.") from error
        return claims

    def redirect_to_sign_out(self, *, id_token: str | None, back_to: str) -> Response:
        """Send the browser to the provider's logout, with the ID token as the hint which session is meant."""
        if "end_session_endpoint" not in self.metadata():
            raise ProviderError("The provider offers no sign-out.")
        response: Response = self._client.logout_redirect(
            post_logout_redirect_uri=back_to, id_token_hint=id_token, client_id=self._configuration.client_id
        )
        return response

    def confirm_sign_out(self) -> None:
        """Check `state` of the browser coming back from the provider's logout. Raises OAuthError."""
        self._client.validate_logout_response()

    def verify_logout_token(self, text: str) -> LogoutNotice:
        """The notice in a logout token. Raises LogoutTokenError, ProviderError, or requests' exceptions."""
        try:
            return self._verify(text, self._keys())
        except InvalidKeyIdError:  # the provider may have rotated its keys since we fetched them
            pass
        try:
            return self._verify(text, self._keys(is_unknown_wanted=True))
        except InvalidKeyIdError as error:
            raise LogoutTokenError("the token is signed with an unknown key") from error

    def _verify(self, text: str, keys: KeySet) -> LogoutNotice:
        return verify_logout_token(
            text,
            keys=keys,
            algorithms=self.metadata()["id_token_signing_alg_values_supported"],
            issuer=self._configuration.issuer,
            client_id=self._configuration.client_id,
            now=self._clock(),
        )

    def _keys(self, *, is_unknown_wanted: bool = False) -> KeySet:
        """The provider's keys. Anybody can post a token with an unknown key, so they can't make us fetch all day."""
        self.metadata()
        with self._keys_lock:
            age = KEYS_GOOD_FOR_SECONDS if self._keys_fetched_at is None else time.monotonic() - self._keys_fetched_at
            wanted_after = KEYS_FETCHED_AT_MOST_EVERY_SECONDS if is_unknown_wanted else KEYS_GOOD_FOR_SECONDS
            must_fetch = age >= wanted_after
            keys = self._client.fetch_jwk_set(force=must_fetch)
            if must_fetch:
                self._keys_fetched_at = time.monotonic()
        return KeySet.import_key_set(keys)
