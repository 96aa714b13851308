"""After a whole story over HTTP, nothing that opens anything stands in a log line or in a table of the database.

Looked for: passwords (right and wrong), cookies, authorization codes, PKCE verifiers, every token, client secrets,
receipt links, the installation's secret, private keys. Of a handle (`identifier.secret`) the secret half is looked for.
Public and allowed in clear: identifiers of rows, `sid`, `jti`, `kid`, `sub`, client ids, public keys; `state` and
`nonce` belong to the client and open nothing here.

The story is logged without the net of `idp.kit.redaction`, so that a value that the net would have masked counts too.
What the net itself is worth is seen by writing every secret of the story down by mistake.
"""

import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import event, select

from idp.db.models import Base
from idp.kit import logs
from tests.operation.conftest import LogStream, open_log  # noqa: F401  a fixture
from tests.support.characters import Provider, RelyingParty
from tests.support.heart import HandClock
from tests.support.pages import PASSWORD

WRONG_PASSWORD = "Tr0ub4dor-and-three-wrong-words"
# These are texts like any other: no mask can know them. They must never come near a log line.
WITHOUT_A_SHAPE = {"password", "wrong password", "verifier", "tool's verifier", "private key"}


@dataclass(frozen=True)
class Story:
    """What was used in the story by name, each in every spelling in which it might be found."""

    secrets: dict[str, list[str]]

    def find_in(self, text: str) -> set[str]:
        """The names of the secrets that the text holds."""
        return {name for name, spelled in self.secrets.items() if any(one in text for one in spelled)}


@pytest.fixture
def log(provider: Provider, open_log: Any) -> LogStream:  # noqa: F811
    """All that the process logs at `debug`, and no exception past the error page."""
    provider.app.testing = False
    stream: LogStream = open_log("debug", known_secrets=provider.settings.secret_texts())
    return stream


def take_the_net_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines leave as they were written."""
    monkeypatch.setattr(logs, "redact_text", lambda line, _secrets: line)
    monkeypatch.setattr(logs, "redact_fields", dict)
    monkeypatch.setattr(logs, "redact_traceback", str)


def in_clear(provider: Provider) -> str:
    """Every value of every table, as text; bytes as they are and in hexadecimal."""
    found: list[str] = []
    with provider.heart.database.reading() as tx:
        for table in Base.metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for value in row:
                    found += in_text(value) if isinstance(value, bytes) else [str(value)]
    return "\n".join(found)


def in_text(value: bytes) -> list[str]:
    """Bytes in the spellings in which they come into texts."""
    return [value.decode("latin-1"), value.hex(), base64.b64encode(value).decode()]


def spellings(secret: str) -> list[str]:
    """A handle's secret half, a token whole and by its signature."""
    assert secret
    return [part for part in (secret, secret.rpartition(".")[2]) if len(part) >= 16]


def spellings_of_key(provider: Provider, clock: HandClock) -> list[str]:
    """The private key as PKCS#8 in DER, and its number alone: as bytes, in hexadecimal, in base64, and in digits."""
    private: Any = provider.services.keys.signer("ES256", clock.now()).key
    number = private.private_numbers().private_value
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return [*in_text(der), *in_text(number.to_bytes(32, "big")), f"{number:x}", str(number)]


@pytest.fixture
def tell(provider: Provider, rp: RelyingParty, cli_app: RelyingParty, ada: Any, clock: HandClock) -> Any:
    """Plays the story and returns what was secret in it."""

    def play() -> Story:
        secrets = story(provider, rp, cli_app, clock)
        return Story(
            {name: spellings(secret) for name, secret in secrets.items()}
            | {"private key": spellings_of_key(provider, clock)}
        )

    return play


def story(provider: Provider, rp: RelyingParty, cli_app: RelyingParty, clock: HandClock) -> dict[str, str]:
    """Sign-ins, tokens, refusals, errors and a sign-out; returns every secret by a name."""
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
    return secrets


def test_nothing_that_opens_something_is_logged_or_stored(
    provider: Provider, tell: Any, log: LogStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_the_net_away(monkeypatch)

    played = tell()

    assert "uncaught" in log.text or "Error" in log.text
    assert "/oauth2/token" in log.text
    assert played.find_in(log.text) == set()
    assert played.find_in(in_clear(provider)) == set()


def test_what_is_written_down_by_mistake_is_found_by_the_search_and_masked_by_the_net(
    tell: Any, log: LogStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = tell()
    log.clear()

    for spelled in played.secrets.values():
        structlog.get_logger().warning("a mistake", value=spelled[0], inside={"list": [spelled[0]]})
        structlog.get_logger().warning(f"a mistake with {spelled[0]} in the middle")
    assert played.find_in(log.text) == WITHOUT_A_SHAPE - {"private key"}  # JSON escapes its bytes: hexadecimal below

    take_the_net_away(monkeypatch)
    for spelled in played.secrets.values():
        structlog.get_logger().warning("a mistake", value=spelled[0], hexadecimal=spelled[-2])
    assert played.find_in(log.text) == set(played.secrets)


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
