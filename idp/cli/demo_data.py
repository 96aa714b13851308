"""What the demo keeps between two starts: a person, a web application and a command-line tool, with their secrets.

Lies in `demo.json` in the folder of the embedded database, readable by its owner only. Made once; a second start finds
it and changes nothing but addresses, when other ports were asked for.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from idp.clients import ClientSpec, create_client, find_client, update_client
from idp.db.engine import Tx
from idp.kit.opaque import Secret
from idp.users import create_user, find_by_login_name, hash_password, verify_password
from idp.web.services import Services

USERNAME = "alice"
EMAIL = "alice@example.com"
# RFC 8252 §7.3: the port is chosen by the tool at run time.
CLI_REDIRECT_URIS = ("http://127.0.0.1/callback", "http://[::1]/callback")


@dataclass(frozen=True)
class DemoData:
    """Secrets of a demo on somebody's own machine, which it prints."""

    password: str
    web_client_id: str
    web_client_secret: str
    cli_client_id: str


def prepare(services: Services, *, application_url: str, folder: Path) -> DemoData:
    """Find or make the demo's records. Raises `ClickException` when somebody else's are in the way."""
    path = folder / "demo.json"
    kept = _read(path)
    password = kept.password if kept else secrets.token_urlsafe(9)
    password_hash = hash_password(Secret(password))  # before the transaction
    with services.database.reading() as tx:
        known = find_by_login_name(tx, USERNAME)
    if known is not None and not verify_password(known.password_hash, Secret(password)):
        raise click.ClickException(
            f"{folder} has a person {USERNAME!r} whom the demo did not make. "
            "Give the demo a folder of its own: IDP_VAR_DIR=var/demo idp demo"
        )
    now = services.clock.now()
    with services.database.transaction() as tx:
        if known is None:
            made = create_user(
                tx,
                email=EMAIL,
                username=USERNAME,
                password_hash=password_hash,
                claims={"name": "Alice Example", "given_name": "Alice", "family_name": "Example"},
                email_verified=True,
                now=now,
            )
            if isinstance(made, list):
                raise click.ClickException(" ".join(problem.text for problem in made))
        data = DemoData(
            password=password,
            **_web_client(tx, services, kept, application_url),
            cli_client_id=_cli_client(tx, services, kept),
        )
        # Inside the transaction: a secret that could not be written down must not be in the database either.
        _write(path, data)
    return data


def _web_client(tx: Tx, services: Services, kept: DemoData | None, url: str) -> dict[str, str]:
    addresses = {
        "redirect_uris": (f"{url}/callback",),
        "post_logout_redirect_uris": (f"{url}/signed-out",),
        "backchannel_logout_uri": f"{url}/backchannel-logout",
    }
    now = services.clock.now()
    if kept and (client := find_client(tx, kept.web_client_id)):
        if tuple(client.redirect_uris) != addresses["redirect_uris"]:
            update_client(tx, client_id=client.id, now=now, **addresses)
        return {"web_client_id": kept.web_client_id, "web_client_secret": kept.web_client_secret}
    spec = ClientSpec(
        name="Demo application",
        redirect_uris=(f"{url}/callback",),
        post_logout_redirect_uris=(f"{url}/signed-out",),
        backchannel_logout_uri=f"{url}/backchannel-logout",
    )
    created = create_client(tx, spec=spec, now=now)
    if isinstance(created, list) or created.secret is None:
        raise TypeError(f"the demo's own registration is refused: {created}")
    return {"web_client_id": created.client.id, "web_client_secret": created.secret.reveal()}


def _cli_client(tx: Tx, services: Services, kept: DemoData | None) -> str:
    if kept and (client := find_client(tx, kept.cli_client_id)):
        return client.id
    spec = ClientSpec(name="Demo command-line tool", redirect_uris=CLI_REDIRECT_URIS, public=True)
    created = create_client(tx, spec=spec, now=services.clock.now())
    if isinstance(created, list):
        raise TypeError(f"the demo's own registration is refused: {created}")
    return created.client.id


def _read(path: Path) -> DemoData | None:
    try:
        return DemoData(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise click.ClickException(f"{path} is damaged. Remove the folder {path.parent} to begin anew.") from None


def _write(path: Path, data: DemoData) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(data), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
