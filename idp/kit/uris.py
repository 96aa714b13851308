"""Rules for the URIs that clients register and send; comparison is of strings, after which nothing parses again.

Serves RFC 6749 §3.1.2, RFC 8252 §7 and §8.4, RFC 9700 §2.1 and OIDC RP-Initiated Logout §3.1. Every URI here is
checked when a client is registered; at the authorization endpoint only equality counts, with the one exception that
RFC 8252 §7.3 makes for the port of a loopback address.
"""

import re
from enum import StrEnum
from urllib.parse import urlsplit

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[^#]*|\?[^#]*)?\Z")
# RFC 8252 §7.1: a private-use scheme is a reversed domain name, so it contains a dot.
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+\Z")
# RFC 3986 §3.2.2 allows more; browsers and CSP headers (`origin_of`) read some of that as something else than a host.
_NETLOC = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z")
_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")
MAX_URI_LENGTH = 2000


class UriProblem(StrEnum):
    """Why a URI can't be registered, in words for the person who registers it."""

    UNPRINTABLE = "contains spaces, control or non-ASCII characters"
    TOO_LONG = "is longer than 2000 characters"
    NOT_ABSOLUTE = "is not an absolute URI"
    FRAGMENT = "has a fragment (#…)"
    USERINFO = "contains a user name or password"
    INSECURE = "must use https (plain http is only for loopback addresses)"
    SCHEME = "has a scheme that is neither https, loopback http nor a private-use scheme such as com.example.app:"
    WILDCARD = "contains a wildcard; addresses are compared exactly"
    HOST = "has characters in its host that no host name has"


def find_redirect_uri_problem(uri: str) -> UriProblem | None:
    """Why `uri` can't be registered as a redirect URI, or None when it can (RFC 9700 §2.1, §4.1.3)."""
    if problem := _find_common_problem(uri):
        return problem
    parts = urlsplit(uri)
    if parts.scheme == "https":
        return None if parts.hostname else UriProblem.NOT_ABSOLUTE
    if parts.scheme == "http":
        return None if is_loopback_host(parts.hostname) else UriProblem.INSECURE
    return None if _PRIVATE_SCHEME.match(parts.scheme) else UriProblem.SCHEME


def find_web_uri_problem(uri: str) -> UriProblem | None:
    """Why `uri` can't be registered as a logout, logo, policy or similar web address, or None when it can."""
    if problem := _find_common_problem(uri):
        return problem
    parts = urlsplit(uri)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        return UriProblem.NOT_ABSOLUTE
    return None if parts.scheme == "https" or is_loopback_host(parts.hostname) else UriProblem.INSECURE


def _find_common_problem(uri: str) -> UriProblem | None:
    if len(uri) > MAX_URI_LENGTH:
        return UriProblem.TOO_LONG
    if not _PRINTABLE.match(uri):
        return UriProblem.UNPRINTABLE
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return UriProblem.NOT_ABSOLUTE
    if not parts.scheme:
        return UriProblem.NOT_ABSOLUTE
    if "#" in uri:
        return UriProblem.FRAGMENT
    if "@" in parts.netloc:
        return UriProblem.USERINFO
    if "*" in parts.netloc:
        return UriProblem.WILDCARD
    is_web = parts.scheme in {"https", "http"}
    return UriProblem.HOST if is_web and parts.netloc and not _NETLOC.match(parts.netloc) else None


def is_loopback_host(hostname: str | None) -> bool:
    """Whether a host name of a URI means this very machine."""
    return hostname in {"localhost", "127.0.0.1", "::1"} or bool(hostname and hostname.endswith(".localhost"))


def redirect_uri_matches(registered: str, sent: str) -> bool:
    """Exact comparison of strings; loopback IP literals may differ in the port alone (RFC 8252 §7.3, §8.3)."""
    if registered == sent:
        return True
    ours, theirs = _LOOPBACK.match(registered), _LOOPBACK.match(sent)
    if not ours or not theirs:
        return False
    if theirs.group(2) and int(theirs.group(2)[1:]) > 65535:
        return False
    return (ours.group(1), ours.group(3) or "") == (theirs.group(1), theirs.group(3) or "")


def is_native_redirect(uri: str) -> bool:
    """Whether the redirect goes to an app on this device (loopback or private scheme) and not to a web site.

    Any local program can claim such an address: design §3 and RFC 8252 §8.6 ask for a page before tokens are given.
    """
    parts = urlsplit(uri)
    return parts.scheme not in {"https", "http"} or (parts.scheme == "http" and is_loopback_host(parts.hostname))


def origin_of(uri: str) -> str:
    """Scheme, host and port for a CSP source expression; a private scheme gives `scheme:`."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"https", "http"} else f"{parts.scheme}:"
