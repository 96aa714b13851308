"""Run the mail catcher: `python -m examples.mail_catcher --smtp-port 9004 --page-port 9003 --folder var/mail`."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from examples.mail_catcher.folder import MailFolder
from examples.mail_catcher.page import PageServer
from examples.mail_catcher.receiver import Receiver


def main() -> int:
    """Catch mail until interrupted or asked to end. The exit status is 1 when a port or the folder can't be used."""
    parser = argparse.ArgumentParser(prog="mail_catcher", description="Take every message, show it, send none on.")
    parser.add_argument("--smtp-port", type=int, default=9004, help="where programs hand mail in (default: 9004)")
    parser.add_argument("--page-port", type=int, default=9003, help="where a browser shows it (default: 9003)")
    parser.add_argument(
        "--page-host",
        default="127.0.0.1",
        help="the address the page listens at: 0.0.0.0 in a container (default: this machine only)",
    )
    parser.add_argument("--folder", type=Path, default=Path("var/mail"), help="where it is kept (default: var/mail)")
    chosen = parser.parse_args()
    # Said by hand, because a container's first process is otherwise deaf to it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        folder = MailFolder(chosen.folder)
        with (
            Receiver(chosen.smtp_port, folder) as receiver,
            PageServer(chosen.page_port, folder, host=chosen.page_host) as page,
        ):
            threading.Thread(target=receiver.serve_forever, daemon=True).start()
            print(f"Mail to 127.0.0.1:{chosen.smtp_port} is shown on http://127.0.0.1:{chosen.page_port}", flush=True)
            page.serve_forever()
    except KeyboardInterrupt:
        return 0
    except (OSError, OverflowError) as error:
        print(f"mail_catcher: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
