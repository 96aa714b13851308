"""What a program asked and what it is answered, apart from how the two travel: what the endpoints for programs work on.

Token, revocation, introspection and userinfo take an `Asked` and give an `Answer`; routes (`idp.oauth.programs`) and
the short way (`idp.oauth.short_way`) only translate. Form bodies only (RFC 6749 §3.2), each parameter at most once;
nothing here reads a query, a cookie or a body that is not a form.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from authlib.oauth2.rfc6749 import OAuth2Error
from flask import Request, Response

from idp.oauth.errors import InvalidRequest
from idp.web import Services, current_services

FORM = "application/x-www-form-urlencoded"
MAXIMUM_VALUE = 8192
# Every answer says these itself.
HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class Asked(NamedTuple):
    """One request of a program: its Authorization headers, and its form's parameters (None: the body is no form)."""

    services: Services
    authorizations: list[str]
    fields: list[tuple[str, str]] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in order, and body. Never to be kept by a cache (RFC 6749 §5.1)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def read_flask(request: Request) -> Asked:
    """The same of Flask's request."""
    is_form = request.method == "POST" and request.mimetype == FORM
    return Asked(
        current_services(),
        request.headers.getlist("Authorization"),
        list(request.form.items(multi=True)) if is_form else None,
    )


def to_flask(answer: Answer) -> Response:
    """The answer as Flask's."""
    return Response(answer.body, status=answer.status, headers=answer.headers)


def json_answer(body: Mapping[str, object], *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """A JSON answer. Of `headers` only a challenge is taken."""
    challenges = [(name, value) for name, value in headers if name == "WWW-Authenticate"]
    return Answer(status, [*HEADERS, *challenges], _encode(body).encode("ascii"))


# Made once: `json.dumps` with separators makes a new one for each answer.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def error_answer(error: OAuth2Error) -> Answer:
    """An OAuth error as JSON (RFC 6749 §5.2)."""
    status, body, headers = error()
    return json_answer(body, status=status, headers=headers)


class Form(dict[str, str]):
    """The parameters of a body by name; those of RFC 8707 §2, which may be repeated, in `resources`."""

    def __init__(self) -> None:
        self.resources: list[str] = []


def read_form(asked: Asked) -> Form:
    """The body's parameters, empty ones left out (RFC 6749 §3.2). Raises `InvalidRequest`."""
    if asked.fields is None:
        raise InvalidRequest(f"The body must be {FORM}.")
    form = Form()
    for name, value in asked.fields:
        if not value:
            continue
        if len(value) > MAXIMUM_VALUE:
            raise InvalidRequest("A parameter is too long.")
        if name == "resource":
            form.resources.append(value)
        elif name in form:
            raise InvalidRequest("A parameter is included more than once.")
        else:
            form[name] = value
    return form


def required(form: Form, name: str) -> str:
    """A parameter that must be there. `name` is one of ours, so it may stand in the error."""
    value = form.get(name)
    if not value:
        raise InvalidRequest(f"The parameter {name} is missing.")
    return value
