"""What a WSGI server imports: `idp.wsgi:app`."""

from idp.app import create_app
from idp.kit.logs import configure_logs
from idp.settings import load_settings

_settings = load_settings()
configure_logs(
    _settings.log_level, layout=_settings.log_format, known_secrets=_settings.secret_texts()
)  # whichever server it is that imports this
app = create_app(_settings)
