"""Which texts may enter the database at all.

PostgreSQL refuses NUL in text, and neither database nor JSON takes lone surrogates: such a parameter is a 400, never a
500 (lessons, "security classes").
"""


def is_storable(text: str) -> bool:
    """Whether `text` has no NUL and no lone surrogate."""
    if "\x00" in text:
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
