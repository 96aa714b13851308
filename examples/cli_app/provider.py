"""Talks to the provider: discovery, token, revocation and userinfo endpoint, over networks that lose answers.

Requests that may be repeated are, with growing pauses. A refresh may be repeated although the first one possibly
worked: the provider answers a refresh token twice for just that case. An authorization code works once, and using it
twice ends the sign-in, so it is never sent again.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from examples.cli_app.problems import Problem, SignedOutElsewhere, Unreachable

PAUSES_SECONDS = (0.5, 1, 2, 4)
LONGEST_PAUSE_SECONDS = 30
_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class AccessTokenRefused(Exception):
    """The provider no longer takes this access token."""


class Provider:
    """One provider, as one public client. `wait` sleeps; a test may do without."""

    def __init__(self, issuer: str, client_id: str, *, wait: Callable[[float], None] = time.sleep) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._wait = wait
        self._http = _pool_for(_require_safe(issuer))

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The discovery document. Raises Unreachable or Problem."""
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        status, metadata = self._send("GET", url)
        if status != 200:
            raise Problem(f"{self.issuer} is no OpenID Provider: its discovery document is missing.")
        # OpenID Connect Discovery §4.3: nobody may speak in another issuer's name.
        if metadata.get("issuer") != self.issuer:
            raise Problem(f"The discovery document of {self.issuer} names another issuer.")
        return metadata

    def endpoint(self, name: str) -> str:
        """The address of an endpoint."""
        url = self.metadata.get(name)
        if not isinstance(url, str):
            raise Problem(f"The provider offers no {name}.")
        return _require_safe(url)

    def redeem_code(self, *, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        """The token response for an authorization code; sent once."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        return self._ask_for_tokens(form, pauses=())

    def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """The token response for a refresh token. Raises SignedOutElsewhere, Unreachable or Problem."""
        return self._ask_for_tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def revoke(self, refresh_token: str) -> None:
        """End the sign-in that the refresh token belongs to (RFC 7009)."""
        form = {"token": refresh_token, "token_type_hint": "refresh_token", "client_id": self.client_id}
        status, answer = self._send("POST", self.endpoint("revocation_endpoint"), form=form)
        if status != 200:
            raise Problem(f"The provider did not revoke the token: {_error_of(answer)}.")

    def userinfo(self, access_token: str) -> Mapping[str, Any]:
        """What the provider says about the person. Raises AccessTokenRefused, Unreachable or Problem."""
        url = self.endpoint("userinfo_endpoint")
        status, answer = self._send("GET", url, headers={"Authorization": f"Bearer {access_token}"})
        if status == 401:
            raise AccessTokenRefused
        if status != 200:
            raise Problem(f"The provider refused to say who you are: {_error_of(answer)}.")
        return answer

    def _ask_for_tokens(
        self, form: Mapping[str, str], *, pauses: tuple[float, ...] = PAUSES_SECONDS
    ) -> Mapping[str, Any]:
        url = self.endpoint("token_endpoint")
        status, answer = self._send("POST", url, form={**form, "client_id": self.client_id}, pauses=pauses)
        if status == 200 and isinstance(answer.get("access_token"), str):
            return answer
        if answer.get("error") == "invalid_grant":
            raise SignedOutElsewhere
        if "error" not in answer:  # a hotel's sign-in page, perhaps: it says nothing about our tokens
            raise Unreachable(f"{self.issuer} answered something that no provider answers. Nothing has changed.")
        raise Problem(f"The provider refused: {_error_of(answer)}.")

    def _send(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        pauses: tuple[float, ...] = PAUSES_SECONDS,
    ) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object ({} for anything else). Raises Unreachable after the last try."""
        body = urlencode(form) if form is not None else None
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        for pause in (*pauses, None):
            wanted_pause = 0.0
            try:
                # A redirect could lead the tokens anywhere; no endpoint of a provider needs one.
                response = self._http.request(method, url, body=body, headers=sent, redirect=False)
            except urllib3.exceptions.HTTPError:
                pass
            else:
                if response.status != 429 and response.status < 500:
                    return response.status, _json_object(response.data)
                after = response.headers.get("Retry-After", "")
                wanted_pause = float(after) if after.isdecimal() else 0.0
            if pause is not None:
                jittered = pause * random.uniform(0.5, 1)  # noqa: S311 - no secret, only spreads the copies of a tool
                self._wait(min(max(jittered, wanted_pause), LONGEST_PAUSE_SECONDS))
        raise Unreachable(f"{self.issuer} can't be reached just now. Nothing has changed; try again later.")


def _pool_for(issuer: str) -> urllib3.PoolManager:
    """Connections through the proxy that the environment asks for, which is never one to this machine itself."""
    parts = urlsplit(issuer)
    proxy = getproxies().get(parts.scheme)
    if proxy and parts.hostname not in _THIS_MACHINE and not proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy, timeout=_TIMEOUT, retries=False)
    return urllib3.PoolManager(timeout=_TIMEOUT, retries=False)


def _json_object(content: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _error_of(answer: Mapping[str, Any]) -> str:
    """The provider's words for a terminal: without control characters, which could rewrite the screen."""
    words = str(answer.get("error_description") or answer.get("error") or "no reason given")
    return "".join(character for character in words if character.isprintable())[:200]


def _require_safe(url: str) -> str:
    """`url` again. Tokens travel over https only, or do not leave this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        return url
    raise Problem(f"{url} is neither https nor on this machine.")
