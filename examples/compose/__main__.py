"""What the containers of compose.yaml need once: two people and two registered applications, made with `idp` itself.

`python -m examples.compose FOLDER` writes `<application>.env` (for the application's shell) and `people.txt` there,
readable by their owner only, and prints the latter. What is there is left alone; so is whatever a start that was cut
short registered without writing it down: an application that nobody has the secret of harms nothing.
"""

import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Application:
    """One relying party of compose.yaml. `url` is how browsers, and the worker, reach it."""

    file: str
    name: str
    url: str


APPLICATIONS = (
    Application("application-1.env", "Demo wiki", "http://127.0.0.1:9001"),
    Application("application-2.env", "Demo shop", "http://127.0.0.1:9002"),
)
PEOPLE = (("alice", "Alice Example"), ("bob", "Bob Example"))


class CommandFailed(Exception):
    """`idp` ended with another status than 0; its own words are on standard error already."""


def main(folder: Path) -> int:
    """Make what is missing in `folder` and at the provider. Returns the exit status."""
    os.umask(0o077)
    try:
        for application in APPLICATIONS:
            _register(application, folder / application.file)
        _create_people(folder / "people.txt")
    except CommandFailed:
        return 1
    print((folder / "people.txt").read_text("utf-8"), end="")
    return 0


def _register(application: Application, file: Path) -> None:
    if file.exists():
        return
    made = json.loads(
        _idp(
            *("clients", "create", "--json", "--name", application.name),
            *("--redirect-uri", f"{application.url}/callback"),
            *("--post-logout-redirect-uri", f"{application.url}/signed-out"),
            *("--backchannel-logout-uri", f"{application.url}/backchannel-logout"),
        )
    )
    _write(file, f"RP_CLIENT_ID={made['client_id']}\nRP_CLIENT_SECRET={made['client_secret']}\n")


def _create_people(file: Path) -> None:
    known = dict(line.split()[:2] for line in file.read_text("utf-8").splitlines()) if file.exists() else {}
    for username, name in PEOPLE:
        if username in known:
            continue
        password = secrets.token_urlsafe(9)
        details = ("--username", username, "--email", f"{username}@example.com", "--email-verified", "--name", name)
        _idp("users", "create", "--json", "--password-stdin", *details, standard_input=password)
        known[username] = password
        _write(file, "".join(f"{person}  {word}\n" for person, word in known.items()))


def _idp(*arguments: str, standard_input: str = "") -> str:
    """What the command prints. Secrets go through standard input: everybody on a machine may read command lines."""
    command = [sys.executable, "-m", "idp.cli", *arguments]
    done = subprocess.run(command, input=standard_input, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CommandFailed(arguments[0])
    return done.stdout


def _write(file: Path, text: str) -> None:
    """All of it or nothing: half a file would count as done at the next start."""
    draft = file.with_suffix(".new")
    draft.write_text(text, "utf-8")
    draft.replace(file)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
