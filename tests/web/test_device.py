"""Names of browsers and machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.web.device import MAXIMUM_NAME, describe_device

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.0 Mobile/15E148 Safari/604.1"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.1 Safari/605.1.15"
)
BRANDS = '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'


@pytest.mark.parametrize(
    ("headers", "agent", "os_name", "device"),
    [
        ({"user_agent": CHROME}, "Chrome 142", "Windows", ""),
        (
            {"user_agent": CHROME, "brands": BRANDS, "platform": '"Windows"', "platform_version": '"15.0.0"'},
            "Chrome 142",
            "Windows 11",
            "",
        ),
        (
            {"user_agent": CHROME, "platform": '"Windows"', "platform_version": '"10.0.0"'},
            "Chrome 142",
            "Windows 10",
            "",
        ),
        ({"user_agent": CHROME, "brands": '"Not/A)Brand";v="8", "Brave";v="142"'}, "Brave 142", "Windows", ""),
        ({"user_agent": ANDROID}, "Chrome 142", "Android 10", ""),
        (
            {"user_agent": ANDROID, "platform": '"Android"', "platform_version": '"16.0.0"', "model": '"Pixel 9"'},
            "Chrome 142",
            "Android 16",
            "Pixel 9",
        ),
        ({"user_agent": IPHONE}, "Safari 26", "iOS 18.6", "iPhone"),
        ({"user_agent": MAC}, "Safari 26", "macOS", "Mac"),
        ({"user_agent": "drydock/1.0"}, "", "", ""),
        ({"user_agent": ""}, "", "", ""),
    ],
)
def test_browsers_and_machines_get_the_names_that_people_know(
    headers: dict[str, str], agent: str, os_name: str, device: str
) -> None:
    described = describe_device(**headers)

    assert (described.agent_name, described.os_name, described.device_name) == (agent, os_name, device)


@given(st.text(max_size=700), st.text(max_size=700), st.text(max_size=100), st.text(max_size=100))
def test_any_header_gives_short_printable_names(agent: str, brands: str, version: str, model: str) -> None:
    described = describe_device(
        user_agent=agent, brands=brands, platform="Windows", platform_version=version, model=model
    )

    for name in (described.agent_name, described.os_name, described.device_name):
        assert len(name) <= MAXIMUM_NAME
        assert name.isprintable() or name == ""
