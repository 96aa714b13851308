"""The values that pages show: small frozen shapes, so that a template never reads a database row.

Desks fill them from what their rules returned. Everything here is already decided and safe to print; templates only lay
it out (style.md: no rule in a template).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from idp.clients import AskingClient
from idp.db.models import Client
from idp.kit.uris import find_web_uri_problem, origin_of
from idp.sessions import CurrentSession


@dataclass(frozen=True)
class ClientCard:
    """An application as a person meets it. `host` is where its redirect goes: a name can be copied, a host cannot."""

    name: str
    host: str = ""
    logo_url: str | None = None
    policy_url: str | None = None
    terms_url: str | None = None

    @property
    def image_sources(self) -> tuple[str, ...]:
        """Origins for the page's `img-src`: the logo's, or none."""
        return (origin_of(self.logo_url),) if self.logo_url else ()


def client_card(client: Client | AskingClient, redirect_uri: str | None = None) -> ClientCard:
    """A client's card. Links that are no web addresses are left out: `javascript:` would run in our origin."""
    return ClientCard(
        name=client.name or client.id,
        host=_shown_host(redirect_uri),
        logo_url=_web_only(client.logo_uri),
        policy_url=_web_only(client.policy_uri),
        terms_url=_web_only(client.tos_uri),
    )


def _web_only(uri: str | None) -> str | None:
    return uri if uri and find_web_uri_problem(uri) is None else None


def _shown_host(uri: str | None) -> str:
    if not uri:
        return ""
    parts = urlsplit(uri)
    return parts.netloc if parts.scheme in {"https", "http"} else f"{parts.scheme}:"


@dataclass(frozen=True)
class PersonCard:
    """Who is signed in: what they are called and what they sign in with."""

    login: str
    name: str = ""


@dataclass(frozen=True)
class ScopeLine:
    """One thing that an application asks for, in plain words."""

    title: str
    detail: str = ""
    icon: str = "key"


_SCOPES: Mapping[str, ScopeLine] = {
    "openid": ScopeLine("Know who you are", "An identifier of your account, to know you when you come back.", "person"),
    "profile": ScopeLine("See your profile", "Your name, picture, birth date and the like, as far as given.", "card"),
    "email": ScopeLine("See your e-mail address", "And whether it is confirmed.", "mail"),
    "address": ScopeLine("See your postal address", "", "pin"),
    "phone": ScopeLine("See your telephone number", "And whether it is confirmed.", "call"),
    "offline_access": ScopeLine(
        "Keep access while you are away", "It stays signed in after you sign out here, until you end it.", "stay"
    ),
}


def scope_lines(scopes: Sequence[str]) -> tuple[ScopeLine, ...]:
    """What scopes mean to a person (OIDC Core §5.4, §11), in a fixed order; unknown ones are shown by their name."""
    known = [line for name, line in _SCOPES.items() if name in scopes]
    custom = [ScopeLine(f"Use “{name}”", "", "key") for name in scopes if name not in _SCOPES]
    return (*known, *custom)


@dataclass(frozen=True)
class NoticeLine:
    """What became of telling one application (or, with `count`, several unnamed ones)."""

    words: str
    tone: str
    symbol: str
    name: str = ""
    count: int = 0
    at: datetime | None = None


@dataclass(frozen=True)
class ReceiptView:
    """A receipt, ready to print: `what` ended at `occurred_at`.

    `applications` are for the browser that signed out and for the person, `counts` for any other; `more` are those that
    found no room. `frames` are addresses that the page opens unseen (Front-Channel Logout).
    """

    title: str
    what: str
    occurred_at: datetime
    applications: tuple[NoticeLine, ...] = ()
    counts: tuple[NoticeLine, ...] = ()
    last_access_at: datetime | None = None
    is_over: bool = False
    pending: bool = False
    apps_stay: bool = False
    more: int = 0
    frames: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A place to go on to, already verified by the desk that offers it."""

    name: str
    url: str


@dataclass(frozen=True)
class Notice:
    """The result of what the person just did, on top of the next page."""

    text: str
    tone: str = "good"
    symbol: str = "check"
    link: Link | None = None


def person_card(session: CurrentSession) -> PersonCard:
    """The card of whoever is signed in."""
    login = session.username or session.email or ""
    name = session.user_display_name
    return PersonCard(login=session.email or login, name=name if name not in {session.email, session.username} else "")
