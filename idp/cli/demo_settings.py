"""The settings of the demo's provider: an environment for its processes, a file for whoever runs commands beside them.

Without the file `idp clients check` would judge by settings under which nothing runs here: no exception for addresses
of this machine, no mail, another port. `demo.toml` lies beside the database, and every start writes it anew.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from idp.cli.demo_story import Places
from idp.settings import PREFIX, Settings, load_settings

FILE_NAME = "demo.toml"


def load(issuer: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """What somebody decided for the demo. In the story's terminal that is no more than the folder: the rest is ours."""
    theirs = dict(environment)
    config = Path(theirs.get("IDP_CONFIG", ""))
    if config.name == FILE_NAME:
        del theirs["IDP_CONFIG"]
        theirs.setdefault("IDP_VAR_DIR", str(config.parent))
    return load_settings(theirs, issuer=issuer)


def decided(settings: Settings, places: Places) -> dict[str, str]:
    """Setting → value, for the provider, its worker and the commands of who tries it out."""
    # The worker may post to these although they are no public addresses.
    allowed = (*settings.outbound_allow, f"127.0.0.1:{places.wiki_port}", f"127.0.0.1:{places.shop_port}")
    return {
        "issuer": places.issuer,
        "var_dir": str(settings.var_dir.absolute()),
        "database_url": settings.database_url,
        "outbound_allow": " ".join(allowed),
        "smtp_host": "127.0.0.1",
        "smtp_port": str(places.smtp_port),
        "smtp_security": "none",
        "mail_from": "accounts@example.com",
    }


def as_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The same as variables, which win over any file."""
    return {PREFIX + name.upper(): value for name, value in values.items()}


def write(values: Mapping[str, str], folder: Path) -> Path:
    """The same as a file for `IDP_CONFIG`. There is no secret in it."""
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items()]
    path = folder / FILE_NAME
    path.write_text("# Written by each start of `idp demo`, for the commands of its story.\n" + "".join(lines), "utf-8")
    return path
