"""What a WSGI server imports: `idp.wsgi:app`."""

from idp.app import create_app

app = create_app()
