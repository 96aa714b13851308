"""What `idp demo` says once everything answers: addresses, people, and a story to walk through, step by step.

Knows where things are (`Places`) and starts nothing.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from idp.cli.demo_data import ALICE, BOB, SHOP, WIKI, DemoData


@dataclass(frozen=True)
class Places:
    """The ports of the demo's programs on this machine, and the addresses that follow from them."""

    port: int
    wiki_port: int
    shop_port: int
    mail_port: int
    smtp_port: int

    @property
    def issuer(self) -> str:
        """On another site than the applications (localhost and 127.0.0.1), as it is in the world."""
        return f"http://localhost:{self.port}"

    @property
    def wiki(self) -> str:
        """The first application's address."""
        return f"http://127.0.0.1:{self.wiki_port}"

    @property
    def shop(self) -> str:
        """The second application's address."""
        return f"http://127.0.0.1:{self.shop_port}"

    @property
    def mail(self) -> str:
        """Where the caught mail is shown."""
        return f"http://127.0.0.1:{self.mail_port}"

    @property
    def options(self) -> dict[str, int]:
        """The command's options and the ports that they chose."""
        return {
            "--port": self.port,
            "--app-port": self.wiki_port,
            "--second-app-port": self.shop_port,
            "--mail-port": self.mail_port,
            "--smtp-port": self.smtp_port,
        }


def as_json(places: Places, data: DemoData, config: Path, log_file: Path) -> dict[str, str]:
    """The same for programs."""
    return {
        "issuer": places.issuer,
        "application": places.wiki,
        "second_application": places.shop,
        "mail": places.mail,
        "username": ALICE.username,
        "email": ALICE.email,
        "password": data.password,
        "second_username": BOB.username,
        "second_email": BOB.email,
        "second_password": data.second_password,
        "web_client_id": data.web_client_id,
        "second_web_client_id": data.second_web_client_id,
        "cli_client_id": data.cli_client_id,
        "config": str(config),
        "log": str(log_file),
    }


def tell(places: Places, data: DemoData, var_dir: Path, config: Path, log_file: Path) -> str:
    """For people: every line that is indented by six can be pasted into a terminal as it is."""
    python = shown(Path(sys.executable))
    command = shown(Path(sys.executable).with_name("idp"))
    tokens = var_dir / "tool"
    devices = f"{places.issuer}/account/sessions"
    return f"""
The demo runs. Ctrl-C stops everything; the data stays in {var_dir}/.

  {WIKI:<19} {places.wiki}
  {SHOP:<19} {places.shop}
  Signed-in devices   {devices}
  Mail                {places.mail}
  Sign in as          {ALICE.username:<7} password  {data.password}
              or as   {BOB.username:<7} password  {data.second_password}

The story
  1. Open {places.wiki} and sign in; then open {places.shop}
     and sign in there too: the password is not asked for again.
  2. In another terminal, in this folder, sign in with a command-line tool, as coding assistants do,
     twice: as on two machines. (The first line is for all that follows.)
       export IDP_CONFIG={config} OP_ISSUER={places.issuer} CLI_CLIENT_ID={data.cli_client_id}
       first() {{ CLI_APP_TOKEN_FILE={tokens}-1.json {python} -m examples.cli_app "$@"; }}
       second() {{ CLI_APP_TOKEN_FILE={tokens}-2.json {python} -m examples.cli_app "$@"; }}
       first login; second login
  3. Open {devices}: the browser with both applications, and
     both copies of the tool. Sign one copy out in its row. One of these is refused now, the other goes on:
       first status; second status
  4. Choose "Sign out everywhere". The page fills with who was told, and when. {WIKI} and {SHOP}
     say that they were signed out, and no copy of the tool is signed in any more:
       first status; second status
  5. Use a stolen copy of a token: sign in again, copy the file, refresh twice (a token may be repeated
     for a few seconds, hence the pause), and use the copy. The tool is signed out, and {ALICE.username} gets mail
     about it: {places.mail}
       first login; cp {tokens}-1.json {tokens}-2.json
       first refresh; sleep 11; first refresh; second refresh; first refresh
  6. Sign in again, then end it as an administrator does. The sign-in page says why, and so does a mail:
       {command} sessions list --user {ALICE.username}
       {command} sessions end --user {ALICE.username} --all
  7. See whether {WIKI} hears of sign-outs, what became of each notice, and, by the link that the last
     line prints, what its developer can try:
       {command} clients check {data.web_client_id} --send-test-notice
       {command} deliveries list --client {data.web_client_id}
       {command} clients self-test-link {data.web_client_id}
  8. Decide how long sign-ins live, while everything runs. Sign in, and leave the browser alone for five
     minutes: the applications are told, and the sign-in page says why. The last line takes it back.
       {command} policy list
       {command} policy set browser_idle_lifetime 5m
       {command} policy unset browser_idle_lifetime

What happens behind the scenes is written to {log_file}.
"""


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
