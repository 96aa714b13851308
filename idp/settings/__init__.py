"""All settings: typed, read once at the start, refused with a remedy when they are wrong or dangerous."""

from idp.settings.dangers import LONGEST_LIFETIME
from idp.settings.load import PREFIX, load_settings
from idp.settings.model import Duration, Settings, SettingsError

__all__ = ["LONGEST_LIFETIME", "PREFIX", "Duration", "Settings", "SettingsError", "load_settings"]
