"""/developers/logout-token: paste a logout token and read, rule by rule, what is right and what is wrong with it.

Open to everybody: it computes with public keys and the two texts that were sent, at most 16 kB of them, asks no other
server, keeps nothing and logs nothing of it (docs/adr/0013). The rules are `idp.logout.inspect_token`'s.
"""

import json
from dataclasses import dataclass

from flask import Response, request
from werkzeug.exceptions import BadRequest

from idp import web
from idp.logout.desk import developers
from idp.logout.inspect_token import Finding, inspect_logout_token, read_token

SPECIFICATION = "https://openid.net/specs/openid-connect-backchannel-1_0.html"
_ANCHORS = {"§2.4": "LogoutToken", "§2.6": "Validation"}
_FIELD = "logout_token="


@dataclass(frozen=True)
class Line:
    """One rule, its verdict, and where it is written."""

    rule: str
    section: str
    url: str
    is_kept: bool
    says: str


@developers.get("/developers/logout-token")
def ask_for_token() -> Response:
    """The empty form."""
    return _page(token="", client_id="")


@developers.post("/developers/logout-token")
def inspect() -> Response:
    """The verdict. A wrong token is a right answer: the status is 200."""
    client_id = _field("client_id").strip()
    token = _bare(_field("token"))
    if not token:
        return _page(token="", client_id=client_id, error="Paste a logout token.", status=400)
    services = web.current_services()
    findings = inspect_logout_token(
        token,
        keys=services.keys,
        issuer=services.settings.issuer,
        client_id=client_id or None,
        now=services.clock.now(),
    )
    return _page(token=token, client_id=client_id, findings=findings)


def _page(
    *, token: str, client_id: str, findings: list[Finding] | None = None, error: str | None = None, status: int = 200
) -> Response:
    lines = tuple(_line(finding) for finding in findings or ())
    return web.page(
        "developer_inspector.html",
        status=status,
        token=token,
        client_id=client_id,
        lines=lines,
        wrong=sum(not line.is_kept for line in lines),
        parts=_laid_out(token) if findings else (),
        error=error,
        action=web.own_url("/developers/logout-token"),
        issuer=web.current_services().settings.issuer,
        specification=SPECIFICATION,
    )


def _laid_out(token: str) -> tuple[str, ...]:
    """Header and claims as they were sent: whoever reads this page sent them, and they are escaped like every text."""
    read = read_token(token)
    try:
        return () if isinstance(read, str) else tuple(json.dumps(part, indent=2) for part in read)
    except RecursionError:  # nested too deeply to lay out, though not to read
        return ()


def _line(finding: Finding) -> Line:
    section, _, rule = finding.rule.partition(" ")
    anchor = _ANCHORS.get(section)
    if rule.split()[0] in {"a", "no", "the"}:  # names of claims stay as they are spelled
        rule = rule[0].upper() + rule[1:]
    return Line(rule, section, f"{SPECIFICATION}#{anchor}" if anchor else SPECIFICATION, finding.is_kept, finding.says)


def _bare(text: str) -> str:
    """The token alone, from what people paste: a form's body, lines that a terminal broke, quotes."""
    joined = "".join(text.split()).strip("\"'")
    return joined.removeprefix(_FIELD)


def _field(name: str) -> str:
    values = request.form.getlist(name)
    if len(values) > 1:
        raise BadRequest(f"{name} was sent more than once.")
    return values[0] if values else ""
