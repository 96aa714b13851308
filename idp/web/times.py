"""Moments in the words of the pages: "2 hours ago", "21 Nov 2026", "14:03:20".

The server does not know a person's time zone, so absolute times say UTC where it matters; `static/site.js` turns them
into local time where it can. Months are written out here, not by `strftime`, whose words follow the server's locale.
"""

from datetime import UTC, datetime, timedelta

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STEPS = ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))


def ago(moment: datetime, now: datetime) -> str:
    """How long `moment` lies before `now`, in one unit; a date when it is over 30 days, "just now" for the future."""
    passed = now - moment
    if passed >= timedelta(days=30):
        return f"on {day(moment)}"
    for length, unit in _STEPS:
        count = passed // length
        if count >= 1:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def length(duration: timedelta) -> str:
    """A length of time in the largest unit that says it exactly: "28 days", "90 minutes"."""
    for unit_length, unit in _STEPS:
        if duration >= unit_length and not duration % unit_length:
            count = duration // unit_length
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{int(duration.total_seconds())} seconds"


def rough_length(duration: timedelta) -> str:
    """A length of time rounded down, in a unit that fits: "24 hours", "28 days", "45 minutes"."""
    # One day is said in hours, one hour in minutes, as people do with short ones.
    for unit_length, unit in _STEPS:
        count = duration // unit_length
        if count >= 2:
            return f"{count:,} {unit}s"
    seconds = max(0, int(duration.total_seconds()))
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def day(moment: datetime) -> str:
    """The date: "21 Nov 2026"."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}"


def minute(moment: datetime) -> str:
    """Date and time of day to the minute: "21 Nov 2026, 14:03 UTC"."""
    return f"{day(moment)}, {moment.astimezone(UTC):%H:%M} UTC"


def at(moment: datetime, exactness: str) -> str:
    """The moment as exactly as asked for: "day", "minute" or "full"."""
    return {"day": day, "minute": minute, "full": full_time}[exactness](moment)


def clock(moment: datetime) -> str:
    """The time of day to the second, with its zone: "14:03:20 UTC"."""
    return f"{moment.astimezone(UTC):%H:%M:%S} UTC"


def full_time(moment: datetime) -> str:
    """Date and time of day: "21 Nov 2026, 14:03:20 UTC"."""
    return f"{day(moment)}, {clock(moment)}"


def iso(moment: datetime) -> str:
    """For the `datetime` attribute of a `time` element (HTML §4.5.14)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def grouped(number: int) -> str:
    """A count with thousands set apart: "10,000"."""
    return f"{number:,}"
