"""Run the demo application: `python -m examples.relying_party` (see README.md for the variables)."""

import logging
import os
import sys

from werkzeug.serving import make_server

from examples.relying_party.app import create_app
from examples.relying_party.configuration import Configuration, ConfigurationError


def main() -> int:
    """Serve until interrupted. The exit status is 2 when the configuration is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # request lines contain authorization codes
    try:
        configuration = Configuration.from_environment()
    except ConfigurationError as error:
        print(f"relying_party: {error}", file=sys.stderr)
        return 2
    # Authlib's HTTP client obeys the environment's proxy, which can't know addresses of this machine.
    os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "localhost,127.0.0.1,::1")))
    server = make_server("127.0.0.1", configuration.port, create_app(configuration), threaded=True)
    print(f"{configuration.name} is at {configuration.base_url}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
