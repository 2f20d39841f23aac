"""Where everything of ours lies: profile, state directory, config file (operations.md §2.1).

Pure but for `host_zone`, which reads one symlink, and `refuse_no_folder`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.errors import StoreUnavailable, UsageError

PORT: Final = 18789
DEV_PORT: Final = 19001
_PROFILE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

VARIABLES: Final = (
    "ENGINE_HOME", "ENGINE_PROFILE", "ENGINE_STATE_DIR", "ENGINE_CONFIG_PATH",
    "ENGINE_GATEWAY_PORT", "ENGINE_GATEWAY_BIND", "ENGINE_GATEWAY_TOKEN",
    "ENGINE_GATEWAY_PASSWORD", "ENGINE_GATEWAY_URL", "ENGINE_LOG_LEVEL", "ENGINE_SKIP_CHANNELS",
    "ENGINE_SKIP_CRON", "ENGINE_INCLUDE_ROOTS", "ENGINE_LOAD_SHELL_ENV",
    "ENGINE_HANDSHAKE_TIMEOUT_MS", "ENGINE_ALLOW_INSECURE_PRIVATE_WS", "ENGINE_SERVICE_MARKER",
    "ENGINE_SERVICE_KIND", "ENGINE_SERVICE_VERSION", "ENGINE_SERVICE_REPAIR_POLICY",
    "ENGINE_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS", "ENGINE_DISABLE_BONJOUR",
    "ENGINE_SKIP_CANVAS_HOST", "ENGINE_CANVAS_HOST_PORT", "ENGINE_TESTING", "ENGINE_CRASH_AT",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """One gateway's places."""

    os_home: Path
    profile: str  # "default" when none was asked for
    state: Path
    config: Path
    default_port: int = PORT
    notice: str | None = None  # said once on stderr

    @property
    def database(self) -> Path:
        """The state database."""
        return self.state / "state.db"

    @property
    def token_file(self) -> Path:
        """The gateway's token when the config has none (operations.md §6.1)."""
        return self.state / "gateway.token"

    @property
    def device_key(self) -> Path:
        """The key from which tokens of devices follow (protocol.md §4.4)."""
        return self.state / "device.key"

    @property
    def lock(self) -> Path:
        """Who runs in this state directory (operations.md §6.4)."""
        return self.state / "gateway.lock"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.state / "logs"

    @property
    def media(self) -> Path:
        """Files that came with messages, or go with one (channels.md §5)."""
        return self.state / "media"

    @property
    def last_exit(self) -> Path:
        """How the gateway ended last."""
        return self.state / "last-exit.json"

    @property
    def env_file(self) -> Path:
        """The operator's variables."""
        return self.state / ".env"

    def expand(self, text: str) -> Path:
        """A path from the config: `~` is the OS home, relative ones hang on the config."""
        if text == "~" or text.startswith("~/"):
            return self.os_home / text[2:]
        return self.config.parent / text

    def workspace(
        self, agent_id: str, *, own: str | None, shared: str | None, default: bool
    ) -> Path:
        """An agent's workspace: its own, the shared one, else below the state directory."""
        if own:
            return self.expand(own)
        if not default:
            return self.state / f"workspace-{agent_id}"
        return self.expand(shared) if shared else self.state / "workspace"


def resolve(
    environ: Mapping[str, str],
    *,
    profile: str | None = None,
    dev: bool = False,
    os_home: Path | None = None,
) -> Paths:
    """Places for these options and this environment; `UsageError` for a bad profile."""
    home = _home(environ, os_home)
    if dev and profile not in (None, "dev"):
        raise UsageError(
            "no profile was chosen",
            why=f"--dev and --profile {profile} name two of them",
            fix="give one of the two",
        )
    asked = profile or ("dev" if dev else None)
    name = asked or environ.get("ENGINE_PROFILE", "").strip() or "default"
    if not _PROFILE.fullmatch(name):
        raise UsageError(
            f'profile "{name}" was not opened',
            why="a profile is lower-case letters, digits and dashes, at most 32",
            fix="engine --profile rescue status",
        )
    inherited = {
        k: environ[k]
        for k in ("ENGINE_STATE_DIR", "ENGINE_CONFIG_PATH")
        if environ.get(k, "").strip()
    }
    notice = None
    # The command line was typed by a person; paths left in the environment were not.
    if asked is not None and inherited:
        notice = f"--profile {name}: ignoring {' and '.join(inherited)} of the environment"
        inherited = {}
    state = _directory(inherited.get("ENGINE_STATE_DIR"), home) or (
        home / (".engine" if name == "default" else f".engine-{name}")
    )
    config = _directory(inherited.get("ENGINE_CONFIG_PATH"), home) or state / "engine.json"
    port = DEV_PORT if name == "dev" else PORT
    return Paths(
        os_home=home, profile=name, state=state, config=config, default_port=port, notice=notice
    )


def refuse_no_folder(paths: Paths) -> None:
    """A home that is something else than a folder holds nothing, and never will."""
    above = (paths.state, *paths.state.parents)
    there = next((path for path in above if path.exists()), None)
    if there is None or there.is_dir():
        return
    raise StoreUnavailable(
        f"{paths.state} cannot be the home of an engine",
        why=f"{there} is not a folder",
        fix="set ENGINE_STATE_DIR to a folder, or leave it unset",
    )


def _home(environ: Mapping[str, str], os_home: Path | None) -> Path:
    for name in ("ENGINE_HOME", "HOME"):
        if environ.get(name, "").strip():
            return Path(environ[name].strip()).absolute()
    return os_home or Path.home()


def _directory(text: str | None, home: Path) -> Path | None:
    if not text:
        return None
    text = text.strip()
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    return Path(text).absolute()


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """One warning per `ENGINE_*` variable that means nothing, with the nearest that does."""
    from difflib import get_close_matches

    found = []
    for name in sorted(environ):
        if (
            name.startswith("ENGINE_")
            and name not in VARIABLES
            and not name.startswith("ENGINE_TEST")
        ):
            near = get_close_matches(name, VARIABLES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            found.append(f"environment variable {name} has no meaning{hint}")
    return tuple(found)


def host_zone(environ: Mapping[str, str], link: Path = Path("/etc/localtime")) -> str:
    """IANA name of the host's zone: `TZ`, else the localtime link, else UTC."""
    name = environ.get("TZ", "").strip().removeprefix(":")
    if name and is_zone(name):
        return name
    try:
        target = str(link.readlink())
    except OSError:
        return "UTC"
    _, found, tail = target.partition("zoneinfo/")
    tail = tail.removeprefix("posix/").removeprefix("right/")
    return tail if found and is_zone(tail) else "UTC"


def is_zone(name: str) -> bool:
    """True for an IANA name this machine knows."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
