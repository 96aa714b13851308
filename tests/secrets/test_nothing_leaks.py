"""After a whole story over HTTP, nothing that opens anything stands in a log line or in a table of the database.

Looked for: passwords (right and wrong), cookies, authorization codes, PKCE verifiers, every token, client secrets,
receipt
links, the installation's secret, private keys. Of a handle (`identifier.secret`) the secret half is looked for. Public
and allowed in clear: identifiers of rows, `sid`, `jti`, `kid`, `sub`, client ids, public keys; `state` and `nonce`
belong to the client and open nothing here.
"""

import base64
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import event, select

from idp.db.models import Base
from tests.operation.conftest import LogStream, open_log, restored_logging  # noqa: F401  fixtures
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import PASSWORD

WRONG_PASSWORD = "Tr0ub4dor-and-three-wrong-words"


@pytest.fixture
def everything_logged(provider: Provider, open_log: Any) -> LogStream:  # noqa: F811
    """All that the process logs at `debug`, and no exception past the error page."""
    provider.app.testing = False
    log: LogStream = open_log("debug", known_secrets=provider.settings.secret_texts())
    return log


def in_clear(provider: Provider) -> str:
    """Every value of every table, as text; bytes as they are and in hexadecimal."""
    found: list[str] = []
    with provider.heart.database.reading() as tx:
        for table in Base.metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for value in row:
                    if isinstance(value, bytes):
                        found += [value.decode("latin-1"), value.hex()]
                    else:
                        found.append(str(value))
    return "\n".join(found)


def spellings(secret: str) -> list[str]:
    """A handle's secret half, a token whole and by its signature, bytes of a base64 text."""
    parts = [secret, secret.rpartition(".")[2]]
    return [part for part in parts if len(part) >= 16]


def test_nothing_that_opens_something_is_logged_or_stored(
    provider: Provider,
    rp: RelyingParty,
    cli_app: RelyingParty,
    ada: Any,
    clock: HandClock,
    everything_logged: LogStream,
) -> None:
    secrets: dict[str, str] = {"password": PASSWORD, "wrong password": WRONG_PASSWORD}
    secrets |= {"client secret": rp.secret or "", "verifier": rp.verifier, "tool's verifier": cli_app.verifier}
    secrets["installation"] = provider.settings.known_secret.reveal()
    browser = provider.visitor()

    browser.sign_in("ada", WRONG_PASSWORD)
    browser.sign_in("ada")
    code = rp.authorize(browser).code
    secrets["code"] = code
    secrets["session cookie"] = browser.cookie("idp_session") or ""
    secrets["browser cookie"] = browser.cookie("idp_browser") or ""
    first = rp.redeem(code)
    clock.advance(minutes=1)
    second = rp.refresh(first)
    clock.advance(minutes=1)
    skipped = rp.refresh(first)
    clock.advance(minutes=1)
    assert rp.introspect(skipped.access_token)["active"]
    assert rp.userinfo(skipped).status_code == 200
    assert rp.refresh(second).error == "invalid_grant"  # reuse
    tool = cli_app.sign_in(browser, scope="openid offline_access")
    for name, tokens in {"first": first, "second": second, "skipped": skipped, "tool": tool}.items():
        secrets |= {f"{name} {kind}": tokens.body[kind] for kind in tokens.body if kind.endswith("_token")}
    assert cli_app.revoke(tool.refresh_token).status_code == 200
    assert rp.redeem(code).error == "invalid_grant"
    rp.secret, right = WRONG_PASSWORD, rp.secret
    assert rp.refresh(first).error == "invalid_client"
    rp.secret = right
    third = rp.authorize(browser).code
    secrets["code of the failed redemption"] = third
    with FailingStatements(provider, "token_families"):
        assert rp.post("/oauth2/token", grant_type="authorization_code", code=third).status_code >= 400
        assert rp.post("/oauth2/token", grant_type="refresh_token", refresh_token=tool.refresh_token).status_code >= 500
    left = browser.submit(browser.page("/account/sessions").form("/logout"))
    assert left.status_code == 303
    receipt = urlsplit(left.location).path.rpartition("/")[2]
    secrets["receipt"] = receipt
    assert browser.get(left.location).status_code == 200

    logged, stored = everything_logged.text, in_clear(provider)
    assert "uncaught" in logged or "Error" in logged
    assert "/oauth2/token" in logged
    for name, secret in secrets.items():
        assert secret, name
        for spelled in spellings(secret):
            assert spelled not in logged, f"{name} was logged"
            assert spelled not in stored, f"{name} is in the database"
    private = provider.services.keys.signer("ES256", clock.now()).key
    number = f"{private.private_numbers().private_value:x}"  # type: ignore[union-attr]
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for spelled in (der.hex(), base64.b64encode(der).decode(), number):
        assert spelled not in stored
        assert spelled not in logged


class FailingStatements:
    """The database refuses every statement that names this table; the driver knows the parameters."""

    def __init__(self, provider: Provider, table: str) -> None:
        self._engine, self._table = provider.services.database.engine, table

    def _break(self, _c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> tuple[str, Any]:
        return (statement + " no such words" if self._table in statement else statement), parameters

    def __enter__(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._break, retval=True)

    def __exit__(self, *_error: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._break)
