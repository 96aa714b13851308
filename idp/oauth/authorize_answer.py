"""Answers to the client by way of the browser: a redirect, or a form that posts itself (response_mode form_post).

Called only with a redirect URI that was compared with the registered ones; parameters are appended to that very string
and nothing parses it again. Every answer names its issuer, errors too (RFC 9207).
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response
from werkzeug.datastructures import Headers

from idp.kit.opaque import Secret
from idp.kit.uris import origin_of
from idp.oauth.authorize_request import AuthorizeRequest
from idp.web import current_services, page
from idp.web.headers import page_policy

# One line, byte for byte what stands in the template: the policy admits exactly this script.
FORM_POST_SCRIPT = "document.forms[0].submit()"
_SCRIPT_HASH = b64encode(sha256(FORM_POST_SCRIPT.encode()).digest()).decode()


class ExactRedirect(Response):
    """303 to exactly this address. Never 307, which would pass the person's password on (RFC 9700 §4.12).

    Werkzeug rewrites every Location that it is told of (`|`, `:///`, case of the host): the client registered, and we
    compared, this very string, and no parser shall have another opinion of it afterwards.
    """

    def __init__(self, address: str) -> None:
        super().__init__(status=303)
        self._address = address

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers as they are sent."""
        headers = super().get_wsgi_headers(environ)
        headers["Location"] = self._address
        return headers


def answer_code(request: AuthorizeRequest, code: Secret) -> Response:
    """The code, for the client (RFC 6749 §4.1.2)."""
    return _answer(request, {"code": code.reveal()})


def answer_error(request: AuthorizeRequest, error: str, description: str) -> Response:
    """An error, for the client (RFC 6749 §4.1.2.1)."""
    return _answer(request, {"error": error, "error_description": description})


def _answer(request: AuthorizeRequest, parameters: Mapping[str, str]) -> Response:
    fields = dict(parameters)
    if request.state is not None:
        fields["state"] = request.state
    fields["iss"] = current_services().settings.issuer  # RFC 9207 §2
    if request.response_mode == "form_post":
        return _form_post(request.redirect_uri, fields)
    return ExactRedirect(with_query(request.redirect_uri, fields))


def with_query(uri: str, fields: Mapping[str, str]) -> str:
    """`uri` with more parameters; its own query stays as it is (RFC 6749 §3.1.2)."""
    joint = "" if uri.endswith(("?", "&")) else "&" if "?" in uri else "?"
    return uri + joint + urlencode(fields, quote_via=quote, safe="")


def _form_post(redirect_uri: str, fields: Mapping[str, str]) -> Response:
    # OAuth 2.0 Form Post Response Mode §2. The button works without JavaScript.
    target = origin_of(redirect_uri)
    response = page("form_post.html", action=redirect_uri, fields=fields, script=FORM_POST_SCRIPT)
    response.headers["Content-Security-Policy"] = page_policy(form_action=(target,)).replace(
        "script-src 'self'", f"script-src 'self' 'sha256-{_SCRIPT_HASH}'"
    )
    return response
