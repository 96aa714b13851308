"""The endpoints that programs send requests to: token, revocation, introspection, userinfo. What each answers, once.

A request comes here by Flask's route (`idp.oauth.programs`) or, when there is nothing unusual about it, by the short
way (`idp.oauth.short_way`). Both send what they find in `ENDPOINTS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from authlib.oauth2.rfc6749 import OAuth2Error

from idp.oauth.asked import Answer, Asked, error_answer, json_answer
from idp.oauth.grants import GRANTS
from idp.oauth.introspect import introspect
from idp.oauth.revoke import revoke
from idp.oauth.server import Server
from idp.oauth.userinfo import userinfo

server = Server(GRANTS)


@dataclass(frozen=True)
class Endpoint:
    """`name` is that of Flask's endpoint. `is_open`: scripts of any origin may read the answer (design §8)."""

    name: str
    answer: Callable[[Asked], Answer]
    methods: tuple[str, ...]
    is_open: bool


def token(asked: Asked) -> Answer:
    """RFC 6749 §3.2."""
    return server.answer_token_request(asked)


def revocation(asked: Asked) -> Answer:
    """RFC 7009 §2."""
    try:
        revoke(asked)
    except OAuth2Error as error:
        return error_answer(error)
    return json_answer({})


def introspection(asked: Asked) -> Answer:
    """RFC 7662 §2."""
    try:
        return json_answer(introspect(asked))
    except OAuth2Error as error:
        return error_answer(error)


def information(asked: Asked) -> Answer:
    """OIDC Core §5.3."""
    try:
        return json_answer(userinfo(asked))
    except OAuth2Error as error:
        return error_answer(error)


# By path below the issuer's. Introspection is for servers and is open to no script.
ENDPOINTS = {
    "/oauth2/token": Endpoint("token_endpoint", token, ("POST",), is_open=True),
    "/oauth2/revoke": Endpoint("revocation_endpoint", revocation, ("POST",), is_open=True),
    "/oauth2/introspect": Endpoint("introspection_endpoint", introspection, ("POST",), is_open=False),
    "/oauth2/userinfo": Endpoint("userinfo_endpoint", information, ("GET", "POST"), is_open=True),
}
