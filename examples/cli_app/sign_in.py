"""Signs in through the system's browser and a listener on this machine (RFC 8252), with PKCE (RFC 7636).

The password is typed at the provider only. What comes back is checked: `state`, `iss` (RFC 9207) and the ID token.
"""

import base64
import hashlib
import json
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from examples.cli_app.problems import Problem, SignedOutElsewhere
from examples.cli_app.provider import Provider
from examples.cli_app.token_file import Tokens

SCOPE = "openid profile offline_access"
CLOCK_SKEW_SECONDS = 60
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 20vh auto 0; padding: 0 1.5rem }}</style>
<main><h1>{title}</h1><p>{text}</p></main>
</html>"""


def sign_in(provider: Provider, *, show_address: Callable[[str], None], seconds: float) -> Tokens:
    """Wait until the person has signed in, at most `seconds`. `show_address` gets the address for the browser.

    Raises Problem when it was refused or took too long.
    """
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    with _Listener(state) as listener:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        question = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": listener.redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        show_address(f"{provider.endpoint('authorization_endpoint')}?{urlencode(question)}")
        answer = listener.wait_for_answer(seconds)
    code = _read_answer(answer, provider)
    try:
        response = provider.redeem_code(code=code, verifier=verifier, redirect_uri=listener.redirect_uri)
    except SignedOutElsewhere:
        raise Problem("The provider no longer takes this sign-in. Run `login` again.") from None
    return _read_tokens(response, provider, nonce)


class _Listener:
    """Receives the browser on a free port of 127.0.0.1, for as long as the sign-in takes (RFC 8252 §7.3)."""

    def __init__(self, state: str) -> None:
        self._answers: queue.Queue[dict[str, str]] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(state, self._answers))
        self._server.daemon_threads = True  # browsers open connections in advance and keep them
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}/callback"

    def __enter__(self) -> "_Listener":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for_answer(self, seconds: float) -> dict[str, str]:
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            raise Problem("Nobody signed in, so nothing has changed. Run `login` to try again.") from None


def _handler_for(state: str, answers: queue.Queue[dict[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            """Take the answer that carries our `state`; any page in the browser can send others, so wait on."""
            parts = urlsplit(self.path)
            values = parse_qs(parts.query, keep_blank_values=True)
            is_single = all(len(value) == 1 for value in values.values())
            sent_state = values.get("state", [""])[0]
            if parts.path != "/callback":
                self._show(404, "Not found", "There is nothing here.")
            elif not is_single or not secrets.compare_digest(sent_state.encode(), state.encode()):
                self._show(400, "That did not work", "This is not the answer to the sign-in under way.")
            else:
                self._show(200, "Back to the terminal", "The tool has its answer. You can close this window.")
                answers.put({name: value[0] for name, value in values.items()})

        def _show(self, status: int, title: str, text: str) -> None:
            content = _PAGE.format(title=title, text=text).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"  # the style above
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Referrer-Policy", "no-referrer")  # the address holds the code
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet: the request line holds the code."""

    return Handler


def _read_answer(answer: Mapping[str, str], provider: Provider) -> str:
    """The code in the authorization response. Raises Problem."""
    # RFC 9207 §2.4: checked also for errors, and before the code goes anywhere.
    must_name_issuer = "iss" in answer or provider.metadata.get("authorization_response_iss_parameter_supported")
    if must_name_issuer and answer.get("iss") != provider.issuer:
        raise Problem("The answer did not come from the provider that was asked. Nothing was sent to it.")
    if answer.get("error") == "access_denied":
        raise Problem("The sign-in was cancelled.")
    if not answer.get("code"):
        error = "".join(character for character in answer.get("error", "no code") if character.isprintable())[:80]
        raise Problem(f"The provider refused the sign-in ({error}).")
    return answer["code"]


def _read_tokens(response: Mapping[str, Any], provider: Provider, nonce: str) -> Tokens:
    claims = _read_id_token(response.get("id_token"), provider, nonce)
    if not isinstance(response.get("refresh_token"), str):
        raise Problem("The provider gave no refresh token, so this tool could not stay signed in.")
    now = time.time()
    return Tokens(
        issuer=provider.issuer,
        client_id=provider.client_id,
        name=claims["sub"],
        sub=claims["sub"],
        signed_in_at=now,
        access_expires_at=now + lifetime_of(response),
        access_token=response["access_token"],
        refresh_token=response["refresh_token"],
    )


def lifetime_of(response: Mapping[str, Any]) -> float:
    """Seconds that the access token of a token response is good for; a minute when the provider does not say."""
    seconds = response.get("expires_in")
    return float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else 60.0


def _read_id_token(text: object, provider: Provider, nonce: str) -> Mapping[str, Any]:
    """The claims of the ID token, checked as OpenID Connect Core §3.1.3.7 asks. Raises Problem.

    Its signature is not checked: the token came straight from the token endpoint over TLS, which §3.1.3.7 (6) accepts
    in its place. An ID token that came any other way would need it.
    """
    try:
        payload = str(text).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        is_good = (
            claims["iss"] == provider.issuer
            and provider.client_id in audience
            and claims.get("azp", provider.client_id) == provider.client_id
            and claims["exp"] > time.time() - CLOCK_SKEW_SECONDS
            and secrets.compare_digest(str(claims["nonce"]).encode(), nonce.encode())
            and isinstance(claims["sub"], str)
        )
    except (IndexError, KeyError, TypeError, ValueError):
        is_good, claims = False, {}
    if not is_good:
        raise Problem("The provider's ID token is not for this sign-in, so it was not accepted.")
    return claims  # type: ignore[no-any-return]
