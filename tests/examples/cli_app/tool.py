"""The command-line tool on one person's machine, with a browser that somebody else drives."""

import json
import queue
import threading

import requests

from examples.cli_app.__main__ import main

CLIENT_ID = "demo-cli"


class Tool:
    """The tool on one person's machine; `browser` is what happens to the address it opens."""

    def __init__(self, provider, path):
        self.provider = provider
        self.path = path
        self.environment = {
            "OP_ISSUER": provider.issuer,
            "CLI_CLIENT_ID": CLIENT_ID,
            "CLI_APP_TOKEN_FILE": str(path),
        }
        self.opened = []
        self.waits = []
        self.pages = queue.Queue()

    def run(self, *arguments, **changes):
        return main(
            arguments,
            environment=self.environment | changes,
            wait=self.waits.append,
            open_browser=self.open,
        )

    def open(self, address):
        """As `webbrowser` does: it returns at once, and the browser comes by later."""
        self.opened.append(address)
        threading.Thread(target=self.browse, args=(address,), daemon=True).start()

    def browse(self, address):
        self.pages.put(requests.get(address, timeout=5))

    @property
    def tokens(self):
        return json.loads(self.path.read_text())

    def spoil(self, **changes):
        self.path.write_text(json.dumps(self.tokens | changes))

    def let_access_token_expire(self):
        self.spoil(access_expires_at=0)
