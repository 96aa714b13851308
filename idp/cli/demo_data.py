"""What the demo keeps between two starts: two people, two web applications and a command-line tool, with their secrets.

Lies in `demo.json` in the folder of the embedded database, readable by its owner only. Made once; a second start adds
what a demo of an earlier release lacks, and changes nothing but addresses, when other ports were asked for.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from idp.clients import ClientSpec, create_client, find_client, update_client
from idp.db.engine import Tx
from idp.kit.opaque import Secret
from idp.users import create_user, find_by_login_name, hash_password, verify_password
from idp.web.services import Services

WIKI, SHOP, TOOL = "Demo wiki", "Demo shop", "Demo command-line tool"
# RFC 8252 §7.3: the port is chosen by the tool at run time.
CLI_REDIRECT_URIS = ("http://127.0.0.1/callback", "http://[::1]/callback")


@dataclass(frozen=True)
class Person:
    """Somebody whom the demo makes, with a password of their own."""

    username: str
    given_name: str

    @property
    def email(self) -> str:
        """An address at which nobody can ever be reached (RFC 2606 §3)."""
        return f"{self.username}@example.com"


ALICE, BOB = Person("alice", "Alice"), Person("bob", "Bob")


@dataclass(frozen=True)
class DemoData:
    """Secrets of a demo on somebody's own machine, which it prints. Empty: not made yet."""

    password: str = field(default="", repr=False)
    web_client_id: str = ""
    web_client_secret: str = field(default="", repr=False)
    cli_client_id: str = ""
    # Since the demo has a second person and a second application:
    second_password: str = field(default="", repr=False)
    second_web_client_id: str = ""
    second_web_client_secret: str = field(default="", repr=False)


def prepare(services: Services, *, wiki_url: str, shop_url: str, folder: Path) -> DemoData:
    """Find or make the demo's records. Raises `ClickException` when somebody else's are in the way."""
    path = folder / "demo.json"
    kept = _read(path)
    passwords = {
        ALICE: kept.password or secrets.token_urlsafe(9),
        BOB: kept.second_password or secrets.token_urlsafe(9),
    }
    missing = [person for person in passwords if not _is_known(services, person, passwords[person], folder)]
    hashes = {person: hash_password(Secret(passwords[person])) for person in missing}  # before the transaction
    with services.database.transaction() as tx:
        for person in missing:
            _create_person(tx, services, person, hashes[person])
        wiki = _web_client(tx, services, WIKI, kept.web_client_id, kept.web_client_secret, wiki_url)
        shop = _web_client(tx, services, SHOP, kept.second_web_client_id, kept.second_web_client_secret, shop_url)
        data = DemoData(passwords[ALICE], *wiki, _cli_client(tx, services, kept), passwords[BOB], *shop)
        # Inside the transaction: a secret that could not be written down must not be in the database either.
        _write(path, data)
    return data


def _is_known(services: Services, person: Person, password: str, folder: Path) -> bool:
    with services.database.reading() as tx:
        known = find_by_login_name(tx, person.username)
    if known is None:
        return False
    if not verify_password(known.password_hash, Secret(password)):
        raise click.ClickException(
            f"{folder} has a person {person.username!r} whom the demo did not make. "
            "Give the demo a folder of its own: IDP_VAR_DIR=var/demo idp demo"
        )
    return True


def _create_person(tx: Tx, services: Services, person: Person, password_hash: str) -> None:
    name = person.given_name
    made = create_user(
        tx,
        email=person.email,
        username=person.username,
        password_hash=password_hash,
        claims={"name": f"{name} Example", "given_name": name, "family_name": "Example"},
        email_verified=True,
        now=services.clock.now(),
    )
    if isinstance(made, list):
        raise click.ClickException(" ".join(problem.text for problem in made))


def _web_client(tx: Tx, services: Services, name: str, kept_id: str, kept_secret: str, url: str) -> tuple[str, str]:
    """Identifier and secret of an application at `url`."""
    spec = ClientSpec(
        name=name,
        redirect_uris=(f"{url}/callback",),
        post_logout_redirect_uris=(f"{url}/signed-out",),
        backchannel_logout_uri=f"{url}/backchannel-logout",
    )
    now = services.clock.now()
    if kept_id and (client := find_client(tx, kept_id)):
        if (client.name, tuple(client.redirect_uris)) != (name, spec.redirect_uris):
            update_client(
                tx,
                client_id=kept_id,
                now=now,
                name=name,
                redirect_uris=spec.redirect_uris,
                post_logout_redirect_uris=spec.post_logout_redirect_uris,
                backchannel_logout_uri=spec.backchannel_logout_uri,
            )
        return kept_id, kept_secret
    created = create_client(tx, spec=spec, now=now)
    if isinstance(created, list) or created.secret is None:
        raise TypeError(f"the demo's own registration is refused: {created}")
    return created.client.id, created.secret.reveal()


def _cli_client(tx: Tx, services: Services, kept: DemoData) -> str:
    if kept.cli_client_id and (client := find_client(tx, kept.cli_client_id)):
        return client.id
    spec = ClientSpec(name=TOOL, redirect_uris=CLI_REDIRECT_URIS, public=True)
    created = create_client(tx, spec=spec, now=services.clock.now())
    if isinstance(created, list):
        raise TypeError(f"the demo's own registration is refused: {created}")
    return created.client.id


def _read(path: Path) -> DemoData:
    try:
        return DemoData(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return DemoData()
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
