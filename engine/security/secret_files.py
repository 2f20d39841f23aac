"""The files of a home that may hold secrets, read for `secrets audit` and scrubbed for `apply`.

Changes nothing but in `scrub`, which takes secrets out of older copies and keeps no other one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.config.compose import Composer
from engine.config.edit import set_text
from engine.config.env_file import without_variables
from engine.config.inactive import unused
from engine.config.issues import Issue
from engine.config.json5 import Json5Error, parse
from engine.config.load import dotenv, environment
from engine.config.paths import Paths
from engine.config.resolve import Resolver, references
from engine.config.writing import put
from engine.log.redaction import HIDDEN, spellings
from engine.security import plaintext
from engine.security.facts import below
from engine.security.plaintext import Audit, Flaw
from jobs.errors import EngineError

COPIES: Final = (".bak", ".bak.*", ".last-good", ".clobbered*", ".rejected.*")
_NAMED: Final = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


def copies(config: Path) -> list[Path]:
    """Every older copy of the config that lies beside it."""
    found = (path for tail in COPIES for path in config.parent.glob(f"{config.name}{tail}"))
    return sorted(set(found))


def looked(paths: Paths, environ: Mapping[str, str]) -> Look:
    """The config of a home as it is written, with its variables."""
    look = Look(paths, environ)
    look.config()
    return look


def audit(paths: Paths, environ: Mapping[str, str], *, programs: bool) -> Audit:
    """Look at the config, its includes, its copies and `.env`, and follow every reference."""
    look = Look(paths, environ)
    files = [*look.config(), *copies(paths.config)]
    flaws = [*look.flaws]
    moved = {path for path, _ in look.refs}
    for path in copies(paths.config):
        flaws += plaintext.in_copy(str(path), _plain(path), moved)
    for env_file in dict.fromkeys((paths.env_file, paths.config.parent / ".env")):
        if env_file.is_file():
            files.append(env_file)
            flaws += plaintext.in_env(str(env_file), dotenv(env_file), look.used)
    checked, skipped, unresolved = look.followed(programs=programs)
    return Audit(
        flaws=plaintext.in_order([*flaws, *unresolved]),
        files=tuple(str(path) for path in dict.fromkeys(files)),
        refs_checked=checked,
        skipped_exec_refs=skipped,
    )


@dataclass(slots=True)
class Look:
    """One config with its includes, as it is written."""

    paths: Paths
    environ: Mapping[str, str]
    flaws: list[Flaw] = field(default_factory=list)
    refs: list[tuple[str, str]] = field(default_factory=list)  # path, variable or ''
    used: set[str] = field(default_factory=set)  # variables something asks for
    root: Any = None
    plain: Any = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> list[Path]:
        """Read it; the files it is made of."""
        path = self.paths.config
        if not path.is_file():
            return []
        extra = [Path(p) for p in self.environ.get("ENGINE_INCLUDE_ROOTS", "").split(":") if p]
        composer = Composer(path.parent, extra)
        self.root = composer.compose(path)
        files = list(dict.fromkeys(composer.files or [path]))
        plain = self.root.plain() if self.root is not None else {}
        self.plain = plain
        block = plain.get("env") if isinstance(plain, Mapping) else None
        own = block if isinstance(block, Mapping) else {}
        named = own.get("vars")
        both = {**own, **(named if isinstance(named, Mapping) else {})}
        texts = {k: v for k, v in both.items() if isinstance(v, str) and "${" not in v}
        self.env, _ = environment(self.environ, state=self.paths.state, block=texts)
        self.used = set(_NAMED.findall("\n".join(_text(one) for one in files)))
        for file in files:
            self.flaws += plaintext.in_config(str(file), _plain(file))
        self.flaws += [
            plaintext.shadowed(str(path), where, "a plain secret stands beside this reference")
            for where, _ in composer.overridden
        ]
        self._references(str(path), plain)
        return files

    def _references(self, file: str, plain: Any) -> None:
        if self.root is None:
            return
        for use in references(self.root, unused(plain, self.env)):
            self.refs.append((use.path, use.ref.id if use.ref.source == "env" else ""))
            if use.ref.source == "env":
                self.used.add(use.ref.id)
            if "overrides it" in use.unused:
                self.flaws.append(plaintext.shadowed(file, use.path, use.unused))

    def followed(self, *, programs: bool) -> tuple[int, int, list[Flaw]]:
        """How many references were followed, how many not, and which led nowhere."""
        if self.root is None:
            return 0, 0, []
        issues: list[Issue] = []
        resolver = Resolver(self.env, self.paths.config.parent, programs=programs)
        resolver.resolve(self.root, issues)
        file = str(self.paths.config)
        lost = [plaintext.unresolved(file, one.path, one.message) for one in issues]
        checked = len(resolver.asked) - len(resolver.skipped)
        return checked, len(resolver.skipped), lost


def _plain(path: Path) -> Any:
    """A file as plain values; nothing of one that cannot be read."""
    try:
        return parse(path.read_text("utf-8-sig")).root.plain()
    except (OSError, UnicodeDecodeError, Json5Error):
        return {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


# -- scrubbing -------------------------------------------------------------------------------


def scrub(files: Iterable[Path], refs: Mapping[str, Any], secrets: Iterable[str]) -> Iterator[Path]:
    """Take secrets out of older copies: the reference stands there then; yields what changed.

    What cannot be parsed loses them as text. No copy of what was there is kept.
    """
    words = sorted({one for secret in secrets for one in spellings(secret)}, key=len, reverse=True)
    for path in files:
        text = _text(path)
        fresh = text
        for where, ref in refs.items():
            fresh = _replaced(fresh, where, ref)
        for word in words:
            fresh = fresh.replace(word, HIDDEN)
        if fresh != text:
            put(path, fresh.encode("utf-8"))
            yield path


def _replaced(text: str, where: str, ref: Any) -> str:
    """The text with a reference where a plain secret stood."""
    with suppress(Json5Error, EngineError):
        here: Any = parse(text).root.plain()
        if isinstance(below(here, where), str):
            return set_text(text, where, ref)
    return text


def scrub_env(path: Path, secrets: Iterable[str], keep: Iterable[str]) -> bool:
    """Take lines out of `.env` whose secret lies elsewhere now; those referred to stay."""
    if not path.is_file():
        return False
    kept, gone = set(keep), set(secrets)
    stale = {name for name, value in dotenv(path).items() if value in gone and name not in kept}
    if not stale:
        return False
    put(path, without_variables(path.read_text("utf-8"), stale).encode("utf-8"))
    return True
