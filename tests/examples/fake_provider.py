"""A provider for tests of the examples: it signs everybody in at once, and is strict where it counts.

One family of tokens per code, with rotate, hold, skip and reuse as the real provider has them; `end` makes a sign-in
dead, `losing_answers` drops the connection after the work is done, `down` refuses all requests.
"""

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, abort, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.serving import WSGIRequestHandler, make_server

SUB = "person-1"
LEEWAY_SECONDS = 10


class ConnectionLost(BaseException):
    """Ends the request without any answer."""


class _Handler(WSGIRequestHandler):
    def log(self, *_args: object, **_kwargs: object) -> None:
        """Quiet: pytest shows what matters."""

    def run_wsgi(self) -> None:
        try:
            super().run_wsgi()
        except ConnectionLost:
            self.close_connection = True


@dataclass
class Family:
    sid: str
    client_id: str
    nonce: str | None
    scope: str
    challenge: str
    redirect_uri: str
    is_live: bool = True
    live_token: str = ""
    parent_token: str = ""
    older_tokens: set[str] = field(default_factory=set)
    rotated_at: float | None = None

    def holds(self, token: str) -> bool:
        return token in {self.live_token, self.parent_token} | self.older_tokens


class FakeProvider:
    """Runs on `localhost`; the relying party of the tests is on `127.0.0.1`, which is another site."""

    def __init__(self) -> None:
        self.keys = [_new_key("key-1")]
        self.families: list[Family] = []
        self.codes: dict[str, Family] = {}
        self.access_tokens: dict[str, Family] = {}
        self.requests: list[str] = []
        self.authorization_answer: dict[str, str | None] = {}
        self.losing_answers = 0
        self.failing_with: list[int] = []
        self.is_down = False
        self.passed_seconds = 0.0
        self.profile: Any = {"sub": SUB, "name": "Ada <Lovelace>", "email": "ada@example.com"}
        self.metadata_changes: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._make_app(), threaded=True, request_handler=_Handler)
        self.issuer = f"http://localhost:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "FakeProvider":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def now(self) -> float:
        return time.time() + self.passed_seconds

    def end(self, family: Family) -> None:
        """What "end this one" on the account page does."""
        with self._lock:
            family.is_live = False

    def rotate_keys(self) -> None:
        self.keys.append(_new_key(f"key-{len(self.keys) + 1}"))

    def sign(self, claims: dict[str, Any], *, typ: str = "JWT", key: Any = None, **header: Any) -> str:
        key = key or self.keys[-1]
        return jwt.encode({"alg": "ES256", "kid": key.kid, "typ": typ, **header}, claims, key, ["ES256"])

    def logout_token(
        self, client_id: str, *, typ: str = "logout+jwt", key: Any = None, header: Any = (), **changes: Any
    ) -> str:
        """A correct logout token for `SUB`, with `changes`; a change to None leaves the claim out."""
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": client_id,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(8),
            "sub": SUB,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            "toe": now,
        } | changes
        present = {name: value for name, value in claims.items() if value is not None}
        return self.sign(present, typ=typ, key=key, **dict(header))

    def _make_app(self) -> Flask:
        app = Flask("fake_provider")
        app.before_request(self._note)
        app.after_request(self._lose)
        app.get("/.well-known/openid-configuration")(self._discovery)
        app.get("/oauth2/jwks")(self._jwks)
        app.get("/oauth2/authorize")(self._authorize)
        app.post("/oauth2/token")(self._token)
        app.get("/oauth2/userinfo")(self._userinfo)
        app.post("/oauth2/revoke")(self._revoke)
        return app

    def _note(self) -> Any:
        self.requests.append(request.path)
        if self.is_down:
            raise ConnectionLost
        if self.failing_with:
            return Response(status=self.failing_with.pop(0), headers={"Retry-After": "0"})
        return None

    def _lose(self, response: Response) -> Response:
        with self._lock:
            lost = self.losing_answers > 0
            self.losing_answers -= lost
        if lost:
            raise ConnectionLost
        return response

    def _discovery(self) -> Any:
        endpoints = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "userinfo_endpoint": "userinfo",
            "jwks_uri": "jwks",
            "revocation_endpoint": "revoke",
            "end_session_endpoint": "logout",
        }
        metadata = {
            "issuer": self.issuer,
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "authorization_response_iss_parameter_supported": True,
            **{name: f"{self.issuer}/oauth2/{path}" for name, path in endpoints.items()},
            **self.metadata_changes,
        }
        return {name: value for name, value in metadata.items() if value is not None}

    def _jwks(self) -> Any:
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def _authorize(self) -> Any:
        wanted = request.args
        if wanted.get("code_challenge_method") != "S256" or not wanted.get("state"):
            abort(400)
        family = Family(
            sid=secrets.token_urlsafe(8),
            client_id=wanted["client_id"],
            nonce=wanted.get("nonce"),
            scope=wanted["scope"],
            challenge=wanted["code_challenge"],
            redirect_uri=wanted["redirect_uri"],
        )
        code = secrets.token_urlsafe(8)
        self.codes[code] = family
        self.families.append(family)
        answer = {"code": code, "state": wanted["state"], "iss": self.issuer} | self.authorization_answer
        present = {name: value for name, value in answer.items() if value is not None}
        return redirect(f"{family.redirect_uri}?{urlencode(present)}", 303)

    def _token(self) -> Any:
        with self._lock:
            if request.form.get("grant_type") == "refresh_token":
                return self._refresh(request.form["refresh_token"])
            family = self.codes.pop(request.form.get("code", ""), None)
            if family is None or request.form.get("redirect_uri") != family.redirect_uri:
                return _refusal("invalid_grant")
            verifier = hashlib.sha256(request.form["code_verifier"].encode()).digest()
            if base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != family.challenge:
                return _refusal("invalid_grant")
            family.live_token = secrets.token_urlsafe(8)
            return self._tokens(family, with_id_token=True)

    def _refresh(self, token: str) -> Any:
        family = next((family for family in self.families if family.holds(token)), None)
        if family is None or not family.is_live:
            return _refusal("invalid_grant")
        if token in family.older_tokens:
            family.is_live = False
            return _refusal("invalid_grant")
        is_fresh = family.rotated_at is not None and self.now() - family.rotated_at <= LEEWAY_SECONDS
        if not is_fresh:
            # Rotate: the live one becomes the parent. Skip: the parent stays, its lost successor is from now on reuse.
            family.older_tokens.add(family.parent_token if token == family.live_token else family.live_token)
            family.parent_token = token
            family.live_token = secrets.token_urlsafe(8)
            family.rotated_at = self.now()
        return self._tokens(family, with_id_token=False)

    def _tokens(self, family: Family, *, with_id_token: bool) -> Any:
        access_token = secrets.token_urlsafe(8)
        self.access_tokens[access_token] = family
        answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": family.live_token,
            "scope": family.scope,
        }
        if with_id_token:
            now = int(self.now())
            claims = {"iss": self.issuer, "sub": SUB, "aud": family.client_id, "iat": now, "exp": now + 300}
            claims |= {"sid": family.sid, "nonce": family.nonce}
            answer["id_token"] = self.sign({name: value for name, value in claims.items() if value is not None})
        return jsonify(answer)

    def _userinfo(self) -> Any:
        family = self.access_tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if family is None or not family.is_live:
            return Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return jsonify(self.profile)

    def _revoke(self) -> Any:
        with self._lock:
            for family in self.families:
                if family.holds(request.form["token"]) and request.form.get("client_id") == family.client_id:
                    family.is_live = False
        return ""


def _refusal(error: str) -> Any:
    return jsonify(error=error), 400


def _new_key(kid: str) -> Any:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})
