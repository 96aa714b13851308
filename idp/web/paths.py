"""Our own paths: writing them below the issuer's path, and deciding whether a text that came from outside is one.

An open redirect at the sign-in page lends our name to any phishing site, so `own_path` admits only what every browser
reads as a path on this very origin (RFC 9700 §4.11). Nothing parses the text again after it was admitted.
"""

import re
from hashlib import sha256
from pathlib import Path

from idp.web.services import current_services

MAXIMUM_LENGTH = 2000
STATIC_FOLDER = Path(__file__).parent / "static"
# One slash and then anything but a second one: browsers read `//host`, `/\host` and `/<tab>/host` as another site.
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*\Z")
_DOT_SEGMENT = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|\Z)", re.IGNORECASE)


def own_url(path: str) -> str:
    """The address of one of our pages as the browser needs it: `/login` → `/login`, or `/idp/login`."""
    return current_services().settings.issuer_path + path


def own_path(text: str | None) -> str | None:
    """`text` itself when it is a path (with or without query) below our issuer, else None."""
    return find_own_path(text, issuer_path=current_services().settings.issuer_path)


def find_own_path(text: str | None, *, issuer_path: str) -> str | None:
    """As `own_path`, for a given issuer path."""
    if not text or len(text) > MAXIMUM_LENGTH or not _OWN_PATH.match(text):
        return None
    path = text.partition("?")[0]
    if "\\" in text or "#" in text or _DOT_SEGMENT.search(path):
        return None
    # Another application may live beside us on the same origin: only what is below the issuer is ours.
    return text if not issuer_path or path == issuer_path or path.startswith(issuer_path + "/") else None


def _digest(name: str) -> str:
    return sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:12]


# Read once: the files are part of the installed package.
_VERSIONS = {name: _digest(name) for name in ("site.css", "site.js", "session.js", "icon.svg")}


def static_path(name: str) -> str:
    """The address of a static file, with its content's digest so that it may be cached for ever."""
    return f"{own_url('/assets/' + name)}?v={_VERSIONS[name]}"


def is_current_static(name: str, version: str | None) -> bool:
    """Whether a request asks for exactly the content that we have."""
    return version is not None and _VERSIONS.get(name) == version
