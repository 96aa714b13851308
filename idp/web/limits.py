"""What a request may contain at all, checked before any desk looks at it: too large is 413, undecodable is 400.

NUL and malformed UTF-8 would otherwise fail in PostgreSQL as a 500, and a thousand fields would cost more than they
say (lessons, "security classes"). Flask decodes leniently, so the raw bytes are looked at here.
"""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from flask import Flask, request
from werkzeug.exceptions import BadRequest

from idp.kit.wording import is_storable

# Logout requests carry ID tokens as hints (lesson 7), nothing of ours is larger.
MAXIMUM_BODY = 64 * 1024
MAXIMUM_FIELDS = 200
MAXIMUM_QUERY = 16 * 1024
_REPLACED = "\ufffd"


def init_limits(app: Flask) -> None:
    """Bound bodies and refuse undecodable parameters."""
    app.config.update(MAX_CONTENT_LENGTH=MAXIMUM_BODY, MAX_FORM_MEMORY_SIZE=MAXIMUM_BODY, MAX_FORM_PARTS=MAXIMUM_FIELDS)
    app.before_request(refuse_unreadable)


def refuse_unreadable() -> None:
    """Raise BadRequest for a path, query or form that no parameter of ours could be. Oversized bodies raise 413."""
    if not is_storable(request.path) or _REPLACED in request.path:
        raise BadRequest("The path is not valid text.")
    query = request.query_string
    if query:
        if len(query) > MAXIMUM_QUERY:
            raise BadRequest("The query is too long.")
        _refuse_undecodable(query)
        _refuse_unstorable(request.args.items(multi=True))
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        _refuse_unstorable(request.form.items(multi=True))


def _refuse_undecodable(raw: bytes) -> None:
    try:
        unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The query is not valid UTF-8.") from None


def _refuse_unstorable(fields: Iterable[tuple[str, str]]) -> None:
    for count, (name, value) in enumerate(fields, start=1):
        if count > MAXIMUM_FIELDS:
            raise BadRequest("There are too many fields.")
        if not is_readable(name) or not is_readable(value):
            raise BadRequest("A field is not valid text.")


def is_readable(text: str) -> bool:
    """Whether a field may say this. A form's undecodable bytes arrive as U+FFFD, which nobody types."""
    return is_storable(text) and _REPLACED not in text
