"""What `idp doctor` looks at beyond `checks`: the world around this node, as far as the node can see it.

The public address with its certificate, the proxies that are believed, and whether the applications that want to be
told of sign-outs can be. These take seconds and reach out, which is why readiness never asks for them. Nothing here
changes anything: an application is sent an empty notice, which says nothing about anybody and which it must refuse.
"""

import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from idp.audit.recent import find_sign_in_addresses
from idp.clients.lifecycle import PUBLIC_METHOD
from idp.db.models import Client
from idp.db.models.clients import ClientOrigin
from idp.kit.addresses import AllowEntry
from idp.kit.outbound import FailureKind, OutboundAnswer, OutboundClient, OutboundFailure, OutboundPolicy
from idp.operation.checks import Check, State
from idp.settings import Settings
from idp.web.address import find_client_address
from idp.web.services import Services

TIMEOUT_SECONDS = 5.0
CERTIFICATE_WARNING = timedelta(days=21)
RECENT = timedelta(days=7)
ENOUGH_SIGN_INS = 5
_DISCOVERY = "/.well-known/openid-configuration"


# ── The public address ────────────────────────────────────────────────────────────────────────────────────────────────


def check_issuer(settings: Settings, now: datetime) -> Iterator[Check]:
    """Whether the issuer answers as itself where people and applications look for it, and how long its TLS holds."""
    parts = urlsplit(settings.issuer)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        yield check_certificate(host, port, settings, now)
    else:
        message = f"{settings.issuer} is plain http: good for trying out on this machine alone. Others need https."
        yield Check("tls", State.WARNING, message)
    # Our own address, so the guard against other people's addresses does not apply: it may well be a private one.
    shown = f"[{host}]" if ":" in host else host
    policy = OutboundPolicy(allow=(AllowEntry.parse(f"{shown}:{port}"),), ca_bundle=settings.outbound_ca_bundle)
    answer = OutboundClient(policy).get(
        settings.issuer + _DISCOVERY, operator_registered=True, deadline_seconds=TIMEOUT_SECONDS
    )
    yield _judge_discovery(settings, answer)


def _judge_discovery(settings: Settings, answer: OutboundAnswer | OutboundFailure) -> Check:
    address = settings.issuer + _DISCOVERY
    if isinstance(answer, OutboundFailure):
        what = f"Nothing answered at {settings.issuer} ({answer.detail})."
        return Check("issuer", State.WARNING, f"{what} Start `idp serve`, or ask from outside: curl {address}")
    try:
        document = json.loads(answer.body)
        issuer = document.get("issuer") if isinstance(document, dict) else None
    except ValueError:
        issuer = None
    if answer.status != 200 or not isinstance(issuer, str):
        remedy = "Let the reverse proxy pass every path below the issuer to this service."
        return Check("issuer", State.FAILED, f"{address} answers {answer.status} and no metadata. {remedy}")
    if issuer != settings.issuer:
        remedy = "Set IDP_ISSUER to the public address, the same on every node."
        return Check("issuer", State.FAILED, f"Whoever answers at {settings.issuer} calls itself {issuer!r}. {remedy}")
    return Check("issuer", State.OK, f"{settings.issuer} answers as itself.")


def check_certificate(host: str, port: int, settings: Settings, now: datetime) -> Check:
    """Whether the certificate that `host` shows is trusted, and for how long."""
    where = f"{host}:{port}"
    try:
        context = ssl.create_default_context(cafile=settings.outbound_ca_bundle)
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Check("tls", State.FAILED, f"The certificate of {where} is not good: {error.verify_message}. Renew it.")
    except ssl.SSLError as error:
        return Check("tls", State.FAILED, f"{where} does not speak TLS ({error.reason}). Let the proxy end TLS there.")
    except OSError as error:
        why = error.strerror or "no answer in time"
        return Check("tls", State.WARNING, f"{where} can't be reached from here ({why}). Look at it from outside.")
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    if ends_at - now < CERTIFICATE_WARNING:
        message = f"The certificate of {where} ends on {ends_at:%Y-%m-%d}. Renew it, and see why nobody did."
        return Check("tls", State.WARNING, message)
    return Check("tls", State.OK, f"The certificate of {where} is good until {ends_at:%Y-%m-%d}.")


# ── Proxies, and whose address is seen ────────────────────────────────────────────────────────────────────────────────


def check_proxies(services: Services, now: datetime) -> Check:
    """Whether people's own addresses are seen, by the settings and by the latest sign-ins."""
    with services.database.reading() as tx:
        seen = find_sign_in_addresses(tx, since=now - RECENT)
    return judge_proxies(services.settings, seen)


def judge_proxies(settings: Settings, seen: Sequence[str]) -> Check:
    """The verdict on `IDP_TRUSTED_PROXIES`, given the addresses of the latest sign-ins."""
    trusted = settings.trusted_proxies
    if everybody := [network for network in trusted if network.prefixlen == 0]:
        message = f"IDP_TRUSTED_PROXIES trusts {everybody[0]}: anybody can claim any address. Name the proxies only."
        return Check("proxies", State.FAILED, message)
    if through := [address for address in seen if _is_in(address, trusted)]:
        message = (
            f"{through[0]} is a trusted proxy, and people seem to come from it. Let it set X-Forwarded-For; a proxy "
            "before it must be in IDP_TRUSTED_PROXIES too."
        )
        return Check("proxies", State.WARNING, message)
    if not settings.is_loopback_http and len(seen) >= ENOUGH_SIGN_INS and _is_one_private(seen):
        message = (
            f"The last {len(seen)} sign-ins all came from {seen[0]}. If that is your reverse proxy, put it into "
            "IDP_TRUSTED_PROXIES: everybody shares one guess budget now."
        )
        return Check("proxies", State.WARNING, message)
    if trusted:
        names = ", ".join(str(network) for network in trusted)
        return Check("proxies", State.OK, f"Trusted: {names}. {_TRY}")
    if settings.issuer.startswith("https://"):
        message = (
            "IDP_TRUSTED_PROXIES is empty, and something must end TLS before this service: name its address, or "
            f"everybody seems to come from it. {_TRY}"
        )
        return Check("proxies", State.WARNING, message)
    return Check("proxies", State.OK, "None is trusted, and none is needed on this machine.")


_TRY = "Try: idp doctor --peer <the proxy> --forwarded-for <what it sends>; or compare Signed-in devices with yours."


def explain_address(settings: Settings, peer: str, forwarded_for: str) -> Check:
    """From where a request of `peer` with this `X-Forwarded-For` would be taken to come."""
    address = find_client_address(peer, forwarded_for, trusted=settings.trusted_proxies)
    if not address:
        return Check("client address", State.FAILED, f"{peer!r} is no IP address.")
    if not forwarded_for:
        return Check("client address", State.OK, f"A request from {peer} is taken to come from {address}.")
    if not _is_in(peer, settings.trusted_proxies):
        message = f"{peer} is not in IDP_TRUSTED_PROXIES: its X-Forwarded-For is ignored, and {address} is seen."
        return Check("client address", State.WARNING, message)
    return Check("client address", State.OK, f"Through {peer}, the request is taken to come from {address}.")


def _is_one_private(seen: Sequence[str]) -> bool:
    return len(set(seen)) == 1 and not ip_address(seen[0]).is_global


def _is_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


# ── Applications that want to be told ─────────────────────────────────────────────────────────────────────────────────


def check_logout_address(services: Services, client: Client) -> Check:
    """Whether a notice would arrive: an empty one is sent, as the worker sends real ones."""
    assert client.backchannel_logout_uri is not None
    answer = services.outbound.post_form(
        client.backchannel_logout_uri,
        {},
        operator_registered=client.origin is ClientOrigin.OPERATOR,
        deadline_seconds=services.settings.delivery_request_lifetime.total_seconds(),
    )
    state, message = _judge_answer(answer)
    return Check("logout address", state, f"{client.name} ({client.id}): {message}")


def _judge_answer(answer: OutboundAnswer | OutboundFailure) -> tuple[State, str]:
    if isinstance(answer, OutboundFailure):
        if answer.kind in {FailureKind.BLOCKED, FailureKind.TLS}:
            return State.FAILED, f"no notice can be sent, {answer.detail}."
        return State.WARNING, f"not reached now, {answer.detail}. Real notices are tried again."
    match answer.status:
        case 400:
            return State.OK, "it refuses an empty notice with 400, as it should."
        case 404 | 410:
            return State.WARNING, f"nothing takes notices there ({answer.status}). Mend --backchannel-logout-uri."
        case 401 | 403:
            return State.WARNING, f"it wants a sign-in or a CSRF token ({answer.status}). Exempt that address."
        case status if 300 <= status < 400:
            return State.WARNING, f"it redirects ({status}), which is not followed. Exempt that address from sign-in."
        case status if 200 <= status < 300:
            return State.WARNING, f"it takes an empty notice ({status}). Let it verify the logout token."
        case status if status >= 500:
            return State.WARNING, f"it answers {status}. See its log; real notices are tried again."
        case status:
            return State.WARNING, f"it answers {status} to an empty notice, where 400 is expected."


def check_untold(clients: Sequence[Client]) -> Check | None:
    """The web applications that nobody tells of sign-outs; None when there are none."""
    untold = [
        client.name
        for client in clients
        if client.redirect_uris
        and client.backchannel_logout_uri is None
        and client.token_endpoint_auth_method != PUBLIC_METHOD
    ]
    if not untold:
        return None
    names = ", ".join(untold[:5]) + (f" and {len(untold) - 5} more" if len(untold) > 5 else "")
    message = f"{names} can't be told of sign-outs. `idp clients update … --backchannel-logout-uri …` where possible."
    return Check("logout address", State.WARNING, message)
