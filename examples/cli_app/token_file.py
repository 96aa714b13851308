"""The file with this tool's tokens: readable by its owner only, replaced as a whole, locked while it changes.

Several copies of the tool share it. The lock keeps them from refreshing one token twice; where locks do not work (some
network file systems), the provider's leeway for a refresh token does the rest, as long as every copy reads the file
again before it refreshes.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a Unix system
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Tokens:
    """One sign-in of this tool. Times are seconds since 1970."""

    issuer: str
    client_id: str
    name: str
    sub: str
    signed_in_at: float
    access_expires_at: float
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


def default_path(environment: Mapping[str, str]) -> Path:
    """CLI_APP_TOKEN_FILE, or a file in the user's configuration folder."""
    if chosen := environment.get("CLI_APP_TOKEN_FILE"):
        return Path(chosen)
    configuration = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(configuration) / "cli-app-example" / "tokens.json"


class TokenFile:
    """Reads, replaces and removes the file."""

    def __init__(self, path: Path, *, with_lock: bool = True) -> None:
        self.path = path
        self._with_lock = with_lock and fcntl is not None

    def load(self) -> Tokens | None:
        """The tokens; None when there are none, or the file is not one that we wrote."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return Tokens(**content) if isinstance(content, dict) else None
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, tokens: Tokens) -> None:
        """Replace the file in one step: whoever reads meanwhile sees the old or the new one, never half of one."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes the file with mode 0600: the tokens are at no moment readable by others.
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(tokens), file, indent=2)
                file.flush()
                os.fsync(file.fileno())  # a refresh token lost in a power cut is a lost sign-in
            Path(temporary).replace(self.path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise

    def remove(self) -> None:
        """Forget the tokens."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one copy of the tool is inside at a time. Without locks everybody is, see above."""
        if not self._with_lock:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A file of its own that is never removed: the token file itself is a new one after every `save`.
        with self.path.with_name(f"{self.path.name}.lock").open("a") as lock:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a crash
            yield
