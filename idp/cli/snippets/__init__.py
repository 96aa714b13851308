"""What the developer of a new application pastes: complete sign-in, sign-out and logout notice, for four frameworks.

One text file per framework, with @NAMES@ for what depends on the application. The secret is never in them: it comes
from the environment, so that a pasted file may be committed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from idp.clients.lifecycle import PUBLIC_METHOD
from idp.db.models import Client

SNIPPETS = {
    "flask": "Flask and Authlib",
    "express": "Express and openid-client 6",
    "spring": "Spring Boot",
    "go": "Go, coreos/go-oidc and x/oauth2",
}
USUAL_BACKCHANNEL_PATH = "/backchannel-logout"
# Where Spring Security answers for the registration `idp`; it can't be moved as easily as the others.
SPRING_BACKCHANNEL_PATH = "/logout/connect/back-channel/idp"
_SCOPES = ("openid", "profile", "email")


@dataclass(frozen=True)
class Registered:
    """What a snippet needs to know of an application and of us."""

    issuer: str
    client_id: str
    is_public: bool
    redirect_uri: str
    signed_out_uri: str | None
    backchannel_uri: str | None
    auth_method: str
    algorithm: str
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, client: Client, *, issuer: str) -> "Registered":
        """Of an application with at least one redirect URI."""
        return cls(
            issuer=issuer,
            client_id=client.id,
            is_public=client.token_endpoint_auth_method == PUBLIC_METHOD,
            redirect_uri=client.redirect_uris[0],
            signed_out_uri=next(iter(client.post_logout_redirect_uris), None),
            backchannel_uri=client.backchannel_logout_uri,
            auth_method=client.token_endpoint_auth_method,
            algorithm=client.id_token_signed_response_alg,
            scopes=tuple(scope for scope in _SCOPES if scope in client.scopes),
        )

    @property
    def origin(self) -> str:
        """Scheme and host of the application."""
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}"


def shown_snippets(registered: Registered, language: str) -> str:
    """What to print under the new client_id, for one of `SNIPPETS` or `all`."""
    if registered.is_public:
        # A page's own script comes back to its site; tools and apps to this machine or to a scheme of their own.
        is_page = registered.redirect_uri.startswith("https://")
        return (
            "\nA public client has no secret; it signs in with PKCE.\n"
            f"Discovery: {registered.issuer}/.well-known/openid-configuration\n"
            f"See docs/how-to/connect-a-{'single-page-app' if is_page else 'command-line-tool'}.md."
        )
    wanted = [language] if language in SNIPPETS else list(SNIPPETS)
    parts = [
        "\nThe application reads its secret from the variable OIDC_CLIENT_SECRET.",
        *(f"Do this first: {step}" for step in _missing(registered, wanted)),
    ]
    for name in wanted:
        title = SNIPPETS[name]
        parts.append(f"\n── {title} {'─' * max(3, 100 - len(title))}\n\n{snippet(registered, name).rstrip()}")
    if len(wanted) > 1:
        hint = f"client_id and client_secret stand above all of this; --snippets {wanted[0]} prints one alone."
        parts.append(f"\n── {'─' * 100}\n\n{hint}")
    return "\n".join(parts)


def snippet(registered: Registered, language: str) -> str:
    """The text of one of `SNIPPETS`, filled in."""
    text = Path(__file__).with_name(f"{language}.txt").read_text("utf-8")
    for name, value in _values(registered).items():
        text = text.replace(f"@{name}@", value)
    return text


def _values(registered: Registered) -> dict[str, str]:
    signed_out = registered.signed_out_uri or registered.origin + "/"
    is_basic = registered.auth_method == "client_secret_basic"
    is_http = registered.issuer.startswith("http://")
    return {
        "ISSUER": registered.issuer,
        "CLIENT_ID": registered.client_id,
        "ORIGIN": registered.origin,
        "REDIRECT_URI": registered.redirect_uri,
        "REDIRECT_PATH": urlsplit(registered.redirect_uri).path or "/",
        "SIGNED_OUT_URI": signed_out,
        "SIGNED_OUT_PATH": urlsplit(signed_out).path or "/",
        "BACKCHANNEL_PATH": urlsplit(registered.backchannel_uri or "").path or USUAL_BACKCHANNEL_PATH,
        "ALGORITHM": registered.algorithm,
        "AUTH_METHOD": registered.auth_method,
        "SCOPE": " ".join(registered.scopes),
        "YAML_SCOPE": ", ".join(registered.scopes),
        "GO_SCOPE": ", ".join(json.dumps(scope) for scope in registered.scopes),
        "GO_AUTH": "AuthStyleInHeader" if is_basic else "AuthStyleInParams",
        "GO_SECURE": "false" if registered.origin.startswith("http://") else "true",
        "JS_AUTH": "ClientSecretBasic" if is_basic else "ClientSecretPost",
        "JS_INSECURE": "\n  { execute: [client.allowInsecureRequests] }, // an issuer without TLS" if is_http else "",
    }


def _missing(registered: Registered, wanted: list[str]) -> Iterator[str]:
    """What must still be registered for the snippets to work."""
    update = f"idp clients update {registered.client_id}"
    if registered.signed_out_uri is None:
        yield f"{update} --post-logout-redirect-uri {registered.origin}/"
    if registered.backchannel_uri is None and wanted != ["spring"]:
        yield f"{update} --backchannel-logout-uri {registered.origin}{USUAL_BACKCHANNEL_PATH}"
    if "spring" not in wanted:
        return
    prefix = "" if wanted == ["spring"] else "(Spring Boot only) "
    if urlsplit(registered.backchannel_uri or "").path != SPRING_BACKCHANNEL_PATH:
        yield f"{prefix}{update} --backchannel-logout-uri {registered.origin}{SPRING_BACKCHANNEL_PATH}"
    if registered.algorithm != "RS256":
        # spring-projects/spring-security issues 15273 and 19704: its logout tokens are RS256, whatever is configured.
        yield f"{prefix}{update} --id-token-alg RS256"
