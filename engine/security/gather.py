"""Facts for the audit: what the config says, who may read which file, what is loaded.

Reads files and their permissions, and nothing else: no provider of secrets is asked, and a
config that is invalid is looked at as far as it can be read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.config.compose import Composer
from engine.config.load import environment
from engine.config.paths import Paths
from engine.config.variables import expand
from engine.messages import plugged
from engine.security.facts import (
    Facts,
    FileFact,
    JobFact,
    Kept,
    Probe,
    ProviderFact,
    below,
)
from engine.security.report import Report, audit

_BITS: Final = 0o777
_COPIES: Final = (".bak", ".bak.*", ".last-good", ".clobbered*", ".rejected.*")


def survey(
    paths: Paths,
    environ: Mapping[str, str],
    now: datetime,
    *,
    jobs: Iterable[JobFact] = (),
    probe: Probe | None = None,
) -> Report:
    """Look at a home and judge it; changes nothing and asks nobody.

    ``jobs`` are those of its store, where somebody has read it; ``probe`` is what the running
    gateway said.
    """
    return audit(gather(paths, environ, jobs=jobs, probe=probe), now)


def gather(
    paths: Paths,
    environ: Mapping[str, str],
    *,
    jobs: Iterable[JobFact] = (),
    probe: Probe | None = None,
) -> Facts:
    """The facts of one home."""
    authored, included = _tree(paths.config, environ)
    block = below(authored, "env") or {}
    named = below(authored, "env.vars") or {}
    loose = {**block, **named} if isinstance(named, Mapping) else dict(block)
    own = {k: v for k, v in loose.items() if isinstance(v, str) and "${" not in v}
    env, _ = environment(environ, state=paths.state, block=own)
    values = _filled(authored, env)
    return Facts(
        values=values,
        authored=authored,
        bind=environ.get("ENGINE_GATEWAY_BIND", "").strip()
        or _text(values, "gateway.bind")
        or "loopback",
        token=environ.get("ENGINE_GATEWAY_TOKEN", "").strip()
        or _secret(values, "gateway.auth.token", env)
        or _first_line(paths.token_file),
        password=environ.get("ENGINE_GATEWAY_PASSWORD", "").strip()
        or _secret(values, "gateway.auth.password", env),
        hooks_token=_secret(values, "hooks.token", env),
        files=tuple(_files(paths, included)),
        providers=tuple(_providers(values, paths)),
        jobs=tuple(jobs),
        plugins=tuple(_loaded(values)),
        probe=probe,
        state=str(paths.state.resolve()),
        secret_diagnostics=tuple(_unread(values, env)),
    )


def _tree(path: Path, environ: Mapping[str, str]) -> tuple[Mapping[str, Any], tuple[Path, ...]]:
    """The config with its includes merged, and the files these are."""
    if not path.is_file():
        return {}, ()
    extra = [Path(p) for p in environ.get("ENGINE_INCLUDE_ROOTS", "").split(":") if p]
    composer = Composer(path.parent, extra)
    root = composer.compose(path)
    plain = root.plain() if root is not None else {}
    included = tuple(one for one in composer.files if one != path)
    return (plain if isinstance(plain, Mapping) else {}), included


def _filled(value: Any, env: Mapping[str, str]) -> Any:
    match value:
        case Mapping():
            return {key: _filled(inner, env) for key, inner in value.items()}
        case list() | tuple():
            return [_filled(inner, env) for inner in value]
        case str() if "${" in value:
            return expand(value, env)
        case _:
            return value


def _text(values: Mapping[str, Any], path: str) -> str:
    found = below(values, path)
    return found.strip() if isinstance(found, str) else ""


def _secret(values: Mapping[str, Any], path: str, env: Mapping[str, str]) -> str | None:
    """A secret as far as it can be read without asking anybody."""
    found = below(values, path)
    if isinstance(found, Mapping):
        found = env.get(str(found.get("id"))) if found.get("source") == "env" else None
    return found.strip() or None if isinstance(found, str) else None


def _unread(values: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[str]:
    """What could not be judged, because only the gateway follows these references."""
    for path in ("gateway.auth.token", "gateway.auth.password", "hooks.token"):
        found = below(values, path)
        if isinstance(found, Mapping) and _secret(values, path, env) is None:
            kind = found.get("source")
            yield f"{path} is a reference of kind {kind} and was not read: it is not judged"


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


# -- files -----------------------------------------------------------------------------------


def _files(paths: Paths, included: Iterable[Path]) -> Iterator[FileFact]:
    config = paths.config
    copies = (found for tail in _COPIES for found in config.parent.glob(f"{config.name}{tail}"))
    logs = sorted(paths.logs.glob("*.log*"))[-1:] if paths.logs.is_dir() else []
    wanted: tuple[tuple[Kept, Iterable[Path]], ...] = (
        (Kept.STATE_DIR, (paths.state,)),
        (Kept.CONFIG, (config,)),
        (Kept.INCLUDE, included),
        (Kept.ENV_FILE, (paths.env_file,)),
        (Kept.DB, (paths.database,)),
        (Kept.LOG_FILE, logs),
        (Kept.BACKUP, sorted(set(copies))),
        (Kept.CREDENTIAL, (paths.token_file, paths.device_key)),
    )
    for what, found in wanted:
        for path in found:
            if (mode := _mode(path)) is not None:
                yield FileFact(what=what, path=str(path), mode=mode, symlink=path.is_symlink())


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode & _BITS
    except OSError:
        return None


def _providers(values: Mapping[str, Any], paths: Paths) -> Iterator[ProviderFact]:
    listed = below(values, "secrets.providers")
    for alias, one in listed.items() if isinstance(listed, Mapping) else ():
        if not isinstance(one, Mapping) or one.get("allowInsecurePath") is True:
            continue
        source = str(one.get("source"))
        given = one.get({"file": "path", "exec": "command"}.get(source, ""))
        if not isinstance(given, str) or not given:
            continue
        path = paths.expand(given)
        try:
            status = path.stat()
            folder = path.resolve().parent.stat()
        except OSError:
            continue
        yield ProviderFact(
            alias=str(alias),
            source=source,
            path=str(path),
            mode=status.st_mode & _BITS,
            foreign=status.st_uid not in (0, os.getuid()),
            folder_open=bool(folder.st_mode & stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX,
        )


def _loaded(values: Mapping[str, Any]) -> Iterator[str]:
    """Channels of other packages that the config switches on."""
    channels = below(values, "channels")
    for name in channels if isinstance(channels, Mapping) else ():
        if (found := plugged.named(str(name))) is not None:
            yield found
