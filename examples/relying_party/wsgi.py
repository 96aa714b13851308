"""The application for a WSGI server, from the same variables: `gunicorn examples.relying_party.wsgi:app`."""

from examples.relying_party.app import create_app
from examples.relying_party.configuration import Configuration

app = create_app(Configuration.from_environment())
