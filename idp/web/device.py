"""What a request says about the browser and machine it comes from, in words for the person who owns it.

From `User-Agent` (ua-parser) and the User-Agent Client Hints, which alone tell Windows 11 from 10 and one Android
phone from another. Anybody can send anything: this is for recognizing, never for deciding.
"""

import re

from flask import Request
from ua_parser import parse

from idp.sessions import Device
from idp.web.address import client_address

MAXIMUM_HEADER = 512
MAXIMUM_NAME = 64
# High-entropy hints come only when asked for; the rest of `Sec-CH-UA` is sent unasked.
ACCEPT_CH = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model"

_BRAND = re.compile(r'"([^"\\]{1,64})";\s*v="(\d{1,5})')
_NOT_A_BRAND = re.compile(r"not.{0,3}a.{0,3}brand|^chromium$", re.IGNORECASE)
_AGENT_NAMES = {
    "Google Chrome": "Chrome",
    "Microsoft Edge": "Edge",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Mobile Safari": "Safari",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
}
_OS_NAMES = {"Mac OS X": "macOS", "Chrome OS": "ChromeOS", "Chromium OS": "ChromeOS"}
_FIRST_WINDOWS_11 = 13
_FROZEN_MAC_MAJOR = "10"


def device(request: Request) -> Device:
    """The device of a request, address included."""
    return describe_device(
        user_agent=request.headers.get("User-Agent", ""),
        brands=request.headers.get("Sec-CH-UA", ""),
        platform=request.headers.get("Sec-CH-UA-Platform", ""),
        platform_version=request.headers.get("Sec-CH-UA-Platform-Version", ""),
        model=request.headers.get("Sec-CH-UA-Model", ""),
        ip_address=client_address(request),
    )


def describe_device(
    *,
    user_agent: str,
    brands: str = "",
    platform: str = "",
    platform_version: str = "",
    model: str = "",
    ip_address: str = "",
) -> Device:
    """Names from header values: what is unknown stays empty. Total work is bounded by the header sizes read."""
    parsed = parse(user_agent[:MAXIMUM_HEADER])
    agent = _brand(brands[:MAXIMUM_HEADER])
    if not agent and parsed.user_agent:
        agent = _join(_AGENT_NAMES.get(parsed.user_agent.family, parsed.user_agent.family), parsed.user_agent.major)
    os_name = _os_from_hints(_unquote(platform), _unquote(platform_version))
    if not os_name and parsed.os:
        os_name = _os_from_user_agent(parsed.os.family, parsed.os.major, parsed.os.minor)
    device_name = _unquote(model)
    if not device_name and parsed.device and parsed.device.model not in {None, "K", "Smartphone", "Tablet", "Desktop"}:
        device_name = parsed.device.model
    return Device(
        device_name=_clean(device_name), os_name=_clean(os_name), agent_name=_clean(agent), ip_address=ip_address
    )


def _brand(brands: str) -> str:
    for name, version in _BRAND.findall(brands):
        if not _NOT_A_BRAND.search(name):
            return _join(_AGENT_NAMES.get(name, name), version)
    return ""


def _os_from_hints(platform: str, version: str) -> str:
    if not platform or not version:
        return ""
    major = version.partition(".")[0]
    if not major.isdecimal() or len(major) > 4:
        return ""
    if platform == "Windows":  # the hint counts API contracts: 13 and above is Windows 11, 1 to 10 is Windows 10
        return "Windows 11" if int(major) >= _FIRST_WINDOWS_11 else "Windows 10" if int(major) else "Windows"
    return platform if platform == "Linux" else _join(platform, major)


def _os_from_user_agent(family: str, major: str | None, minor: str | None) -> str:
    name = _OS_NAMES.get(family, family)
    if (name == "macOS" and major == _FROZEN_MAC_MAJOR) or name in {"ChromeOS", "Windows"} or not major:
        return name  # these user agents are frozen: their version would be a false statement
    return f"{name} {major}.{minor}" if name in {"iOS", "iPadOS"} and minor else f"{name} {major}"


def _join(name: str, version: str | None) -> str:
    return f"{name} {version}" if version else name


def _unquote(value: str) -> str:
    return value[:MAXIMUM_HEADER].strip().strip('"')


def _clean(name: str | None) -> str:
    return "".join(character for character in name or "" if character.isprintable()).strip()[:MAXIMUM_NAME]
