"""What a WSGI server imports: `idp.wsgi:app`."""

import gc

from idp.app import create_app
from idp.kit.logs import configure_logs
from idp.settings import load_settings
from idp.web.device import describe_device

_settings = load_settings()
configure_logs(
    _settings.log_level, layout=_settings.log_format, known_secrets=_settings.secret_texts()
)  # whichever server it is that imports this
app = create_app(_settings)
# The first look at a browser's name builds 25 MB of patterns.
describe_device(user_agent="")
# What lives as long as the process needs no looking through: Python's collector would write into every object of it,
# and so take the pages apart that gunicorn's processes share, 30 MB each.
gc.collect()
gc.freeze()
