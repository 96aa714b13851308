"""The only way out: guarded HTTP requests to addresses that other people gave us (design §7, "Outbound requests").

Owns the policy (IDP_OUTBOUND_ALLOW, _PROXY, _CA_BUNDLE), the check of every resolved address, and one request with one
deadline and one size limit. Follows no redirect, keeps no cookie or connection, decompresses nothing, and raises for no
trouble on the network: that is an `OutboundFailure`. Retries, and how many requests run at once, are the caller's.
Serves RFC 9700 §4.11 and OWASP's advice on server-side request forgery.
"""

import http.client
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from urllib.parse import urlencode

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from idp.kit.addresses import AllowEntry, IPAddress, find_ip, find_never_reason, find_special_reason
from idp.kit.destinations import ProxyAddress, Target
from idp.kit.guarded_connection import (
    Dial,
    GuardedHTTPConnection,
    GuardedHTTPSConnection,
    TooMuchReceivedError,
    make_tls_context,
)
from idp.kit.name_lookup import LookupsExhaustedError, NameLookup, NameNotFoundError, SystemLookup, look_up_with_system

_FRAMING_BYTES = 65536  # what headers and chunk framing may add to twice the body


class FailureKind(StrEnum):
    """Why there is no answer. To anyone but the operator: unreachable, blocked or refused (design §7)."""

    UNREACHABLE = "unreachable"
    BLOCKED = "blocked"
    TIMED_OUT = "timed_out"
    TLS = "tls"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class OutboundFailure:
    """No usable answer. `detail` is for operators only; it holds no secret and nothing that the other side sent.

    `status` is set when the failure came after the status line: the other side did receive and answer the request.
    """

    kind: FailureKind
    detail: str
    status: int | None = None


@dataclass(frozen=True)
class OutboundAnswer:
    """A complete answer of whatever status, redirects included. Header names are lower case, the body is as sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    elapsed_seconds: float


@dataclass(frozen=True)
class OutboundPolicy:
    """What the operator decided. `proxy` is `http://[user:password@]host[:port]`; `ca_bundle` replaces the system's.

    With a proxy, names are still resolved and checked here first, but the proxy resolves them again: it must itself
    refuse private destinations, since a name can answer differently the second time.
    Raises ValueError with a remedy for a malformed proxy.
    """

    allow: tuple[AllowEntry, ...] = ()
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        if self.proxy:
            ProxyAddress.parse(self.proxy)

    def exempts(self, target: Target, address: IPAddress) -> bool:
        """Whether an entry opens this address, which would otherwise be closed, at the target's port."""
        return any(entry.covers(host=target.host, address=address, port=target.port) for entry in self.allow)


class OutboundClient:
    """Sends guarded requests; one instance per process, safe for threads."""

    def __init__(self, policy: OutboundPolicy, *, resolver: SystemLookup = look_up_with_system) -> None:
        """Raises ValueError with a remedy when the CA bundle can't be read."""
        self._policy = policy
        self._proxy = ProxyAddress.parse(policy.proxy) if policy.proxy else None
        self._names = NameLookup(resolver)
        if policy.ca_bundle:
            try:
                self._tls = make_tls_context(str(policy.ca_bundle))
            except OSError as error:
                raise ValueError(f"the CA bundle {policy.ca_bundle} can't be read as PEM certificates") from error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Late: commands and most nodes never connect to anybody, and need not read the system's 140 certificates.
        return make_tls_context(None)

    def post_form(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        operator_registered: bool,
        deadline_seconds: float = 5.0,
        max_bytes: int = 65536,
    ) -> OutboundAnswer | OutboundFailure:
        """POST `form` url-encoded. `operator_registered`: the URL belongs to a client that an operator entered."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}
        allowance = _Allowance.starting_now(deadline_seconds, max_bytes, operator_registered=operator_registered)
        return self._send("POST", url, urlencode(form).encode("ascii"), headers, allowance)

    def get(
        self,
        url: str,
        *,
        operator_registered: bool,
        accept: str = "application/json",
        deadline_seconds: float = 5.0,
        max_bytes: int = 65536,
    ) -> OutboundAnswer | OutboundFailure:
        """GET `url`. Parameters as for `post_form`."""
        allowance = _Allowance.starting_now(deadline_seconds, max_bytes, operator_registered=operator_registered)
        return self._send("GET", url, None, {"Accept": accept}, allowance)

    def _send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], allowance: "_Allowance"
    ) -> OutboundAnswer | OutboundFailure:
        target = Target.parse(url)
        if isinstance(target, str):
            return OutboundFailure(FailureKind.MALFORMED, f"the address {target}")
        try:
            addresses = self._resolve(target.host, allowance)
            if refusal := self._find_refusal(target, addresses, allowance):
                return refusal
            connection, request_target, extra = self._prepare(target, addresses, allowance)
        except (TimeoutError, NameNotFoundError, LookupsExhaustedError) as error:
            return _failure_of(error, target, status=None)
        fixed = {"User-Agent": "idp", "Accept-Encoding": "identity", "Connection": "close"}
        request = _Request(method, request_target, body, {**headers, **fixed, **extra})
        try:
            return _exchange(connection, request, target, allowance)
        finally:
            connection.close()

    def _resolve(self, host: str, allowance: "_Allowance") -> tuple[IPAddress, ...]:
        literal = find_ip(host)
        return (literal,) if literal else self._names.find_addresses(host, deadline=allowance.deadline)

    def _find_refusal(
        self, target: Target, addresses: tuple[IPAddress, ...], allowance: "_Allowance"
    ) -> OutboundFailure | None:
        """All addresses must pass, not one of them: an attacker's name can answer with a public and a private one."""
        for address in addresses:
            where = f"{target.host}:{target.port} is at {address}"
            if never := find_never_reason(address):
                return OutboundFailure(FailureKind.BLOCKED, f"{where} ({never}), which is never dialed")
            if allowance.operator_registered and self._policy.exempts(target, address):
                continue
            shown = f"[{target.host}]" if ":" in target.host else target.host
            remedy = (
                f"no entry of IDP_OUTBOUND_ALLOW covers it ({shown}:{target.port} would)"
                if allowance.operator_registered
                else "addresses that no operator registered can't be exempted"
            )
            if special := find_special_reason(address):
                return OutboundFailure(FailureKind.BLOCKED, f"{where} ({special}); {remedy}")
            if target.scheme == "http":
                return OutboundFailure(FailureKind.BLOCKED, f"{where} and asked for without TLS; {remedy}")
        return None

    def _prepare(
        self, target: Target, addresses: tuple[IPAddress, ...], allowance: "_Allowance"
    ) -> tuple[GuardedHTTPConnection | GuardedHTTPSConnection, str, Mapping[str, str]]:
        """The connection, what to write on the request line, and headers meant for a forwarding proxy."""
        proxy = self._proxy
        port, host = (proxy.port, proxy.host) if proxy else (target.port, target.host)
        hops = self._resolve(proxy.host, allowance) if proxy else addresses
        dial = Dial(hops, port, allowance.deadline, 2 * allowance.max_bytes + _FRAMING_BYTES)
        if target.scheme == "https":
            secure = GuardedHTTPSConnection(host, port, dial=dial, context=self._tls)
            if proxy:
                secure.set_tunnel(target.host, target.port, headers=proxy.headers, scheme="http")
            return secure, target.path, {}
        plain = GuardedHTTPConnection(host, port, dial=dial)
        if proxy:  # RFC 9112 §3.2.2: a forwarding proxy is sent the absolute form
            return plain, f"http://{target.authority}{target.path}", {"Host": target.authority, **proxy.headers}
        return plain, target.path, {}


@dataclass(frozen=True)
class _Allowance:
    started: float
    deadline: float
    max_bytes: int
    operator_registered: bool

    @classmethod
    def starting_now(cls, seconds: float, max_bytes: int, *, operator_registered: bool) -> "_Allowance":
        started = time.monotonic()
        return cls(started, started + seconds, max_bytes, operator_registered)


@dataclass(frozen=True)
class _Request:
    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]


def _exchange(
    connection: GuardedHTTPConnection | GuardedHTTPSConnection, request: _Request, target: Target, allowance: _Allowance
) -> OutboundAnswer | OutboundFailure:
    status: int | None = None
    try:
        connection.connect()
    except (OSError, HTTPError, http.client.HTTPException, TooMuchReceivedError) as error:
        return _failure_of(error, target, status=None, is_connecting=True)
    try:
        connection.request(
            request.method,
            request.target,
            request.body,
            request.headers,
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
        status = response.status
        with closing(response):
            body = _read_body(response, allowance.max_bytes)
    except (OSError, HTTPError, http.client.HTTPException, TooMuchReceivedError, ValueError) as error:
        return _failure_of(error, target, status=status)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return OutboundAnswer(status, headers, body, time.monotonic() - allowance.started)


def _read_body(response: BaseHTTPResponse, max_bytes: int) -> bytes:
    """The body as it was sent. Reading on until nothing comes is what makes urllib3 notice a body cut short."""
    body = b""
    while chunk := response.read(max_bytes + 1 - len(body), decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise TooMuchReceivedError
    return body


def _failure_of(
    error: Exception, target: Target, *, status: int | None, is_connecting: bool = False
) -> OutboundFailure:
    """The failure for an error of the lookup, the socket, TLS or the HTTP parser, in words of our own."""
    cause = error.__cause__ if isinstance(error, HTTPError) and isinstance(error.__cause__, Exception) else error
    where = f"{target.host}:{target.port}"
    kind, what = FailureKind.UNREACHABLE, "the connection failed"
    match cause:
        case TooMuchReceivedError():
            kind, what = FailureKind.TOO_LARGE, "the answer is larger than allowed"
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            kind, what = FailureKind.TIMED_OUT, "no complete answer in time"
        case NameNotFoundError() | LookupsExhaustedError():
            what = str(cause)
        case ssl.SSLCertVerificationError():
            kind, what = FailureKind.TLS, f"the certificate was not accepted: {cause.verify_message}"
        case ssl.SSLError() if is_connecting:
            kind, what = FailureKind.TLS, f"TLS could not be agreed on ({cause.reason or 'connection closed'})"
        case http.client.IncompleteRead() | ConnectionError():
            what = "the connection was refused or closed before the answer was complete"
        case HTTPError() | http.client.HTTPException() | ValueError():
            kind, what = FailureKind.MALFORMED, "the answer is not well-formed HTTP"
        case OSError(strerror=str(reason)):
            what = reason
        case OSError() if is_connecting:
            what = "the proxy opened no connection"
    return OutboundFailure(kind, f"{where}: {what}", status)
