"""A config file becomes a `Config`, or a refusal that names every line (operations.md §2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from engine.config import checks, credential_file, masks, shell_env
from engine.config.compose import Composer, digest, substitute
from engine.config.env_file import variables_of
from engine.config.issues import Issue, Note, refuse
from engine.config.jobs_dir import with_jobs
from engine.config.json5 import Node, Place, locate
from engine.config.keypath import Key, dotted
from engine.config.resolve import Resolver, Use
from engine.config.schema import Config
from engine.config.validate import validated
from engine.config.walk import Walker

JobsCheck = Callable[[Config], "list[tuple[Key, str]]"]
_FILES: Final = frozenset({"tokenFile", "clientSecretFile"})
_WORTH_HIDING: Final = 8  # characters of a variable
_CWD_MAY_NOT: Final = frozenset(
    {"ENGINE_STATE_DIR", "ENGINE_CONFIG_PATH", "ENGINE_HOME", "ENGINE_GATEWAY_TOKEN"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A valid config with everything known about where it came from."""

    config: Config
    path: Path
    text: str  # exact text of the main file; empty when there is none
    hash: str  # sha256 of its bytes
    exists: bool
    notes: tuple[Note, ...] = ()
    files: tuple[Path, ...] = ()  # all files read: the main one, its includes, those of jobs
    included: tuple[Path, ...] = ()  # what it includes
    origins: Mapping[str, str] = field(default_factory=dict)  # variable -> where it came from
    root: Node | None = None  # the authored tree, includes merged, `${NAME}` as written
    secrets: tuple[str, ...] = field(default=(), repr=False)  # every secret value, for the redactor
    resolved: Mapping[str, str] = field(default_factory=dict, repr=False)  # of references, by path
    jobs_wait: tuple[str, ...] = ()  # why the jobs are not those of the files: a line each

    def place(self, *key: str | int) -> Place | None:
        """Where a key stands in the files, for messages that name file and line."""
        if self.root is None:
            return None
        member, node = locate(self.root, key)
        return member.place if member else node.place

    def job_places(self) -> dict[str, Place]:
        """Where each job of the config stands, for messages about it."""
        places = {key: self.place("cron", "jobs", key) for key in self.config.cron.jobs}
        return {key: place for key, place in places.items() if place is not None}


def environment(
    environ: Mapping[str, str],
    *,
    state: Path | None = None,
    cwd: Path | None = None,
    block: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Variables by precedence, and where each came from: process, cwd, state, config block."""
    layers: list[tuple[str, Mapping[str, str]]] = [("process", environ)]
    if cwd is not None and cwd != state:
        own = {k: v for k, v in dotenv(cwd / ".env").items() if k not in _CWD_MAY_NOT}
        layers.append((str(cwd / ".env"), own))
    if state is not None:
        layers.append((str(state / ".env"), dotenv(state / ".env")))
    layers.append(("config env", block or {}))
    merged: dict[str, str] = {}
    origins: dict[str, str] = {}
    for origin, values in layers:
        for name, value in values.items():
            if name not in merged:
                merged[name], origins[name] = value, origin
    return merged, origins


def variables(
    root: Node, environ: Mapping[str, str], *, state: Path, cwd: Path | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """The same for a config, with what the login shell knows of the names it asks for (§2.5)."""
    env, origins = environment(environ, state=state, cwd=cwd, block=_env_block(root))
    member = root.member("env")
    limit = shell_env.wanted(member.node.plain() if member else None, env)
    if limit is not None:
        asked = (*shell_env.expected(root), *shell_env.PROVIDERS)
        found = shell_env.imported({one for one in asked if not env.get(one)}, environ, limit)
        env |= found
        origins |= dict.fromkeys(found, shell_env.ORIGIN)
    return env, origins


def dotenv(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; nothing of one that is not there."""
    if not path.is_file():
        return {}
    return variables_of(path.read_text("utf-8"))


def load(
    path: Path,
    environ: Mapping[str, str],
    *,
    state: Path | None = None,
    cwd: Path | None = None,
    home: Path | None = None,
    raw: bytes | None = None,
    texts: Mapping[Path, bytes] | None = None,
    resolve_secrets: bool = False,
    programs: bool = True,
    jobs_check: JobsCheck | None = None,
    jobs_may_wait: bool = False,
    jobs_dir: bool = True,
    credentials: bool = False,
) -> Loaded:
    """Read, compose, validate. A missing file is the built-in defaults.

    ``raw`` stands in for the file's bytes (to judge a change before it is written), ``texts``
    for those of included files. With
    ``jobs_may_wait`` files of `cron.jobsDir` that are broken refuse nothing else: they are
    told in `Loaded.jobs_wait`. Without ``jobs_dir`` that directory is not looked at.
    Without ``programs`` secrets that programs keep stay references.
    With ``credentials`` the files that hold those of bots have to be there: whoever only reads
    what happened needs none.
    Raises `ConfigInvalid` whose text is the block of operations.md §2.6.
    """
    exists = path.exists() or raw is not None
    data = b"{}" if not exists else (raw if raw is not None else _bytes(path, home))
    extra = [Path(p) for p in environ.get("ENGINE_INCLUDE_ROOTS", "").split(":") if p]
    composer = Composer(path.parent, extra, read=functools.partial(_read, texts or {}))
    root = composer.compose(path, data)
    if root is None:
        raise refuse(path, composer.issues, home=home)
    included = tuple(composer.files[1:])
    root, job_files = with_jobs(root, composer) if jobs_dir else (root, frozenset[str]())
    env, origins = variables(root, environ, state=state or path.parent, cwd=cwd)
    issues = composer.issues
    walker = Walker(issues=issues)
    filled = substitute(root, env, issues)
    pruned = walker.prune(filled)
    resolver = Resolver(env, path.parent, enabled=resolve_secrets, programs=programs)
    pruned = resolver.resolve(pruned, issues)
    notes = [
        *walker.notes,
        *map(_unused, resolver.inactive),
        *map(_overridden, composer.overridden),
    ]
    config, partial = validated(pruned, issues)
    if config is not None:
        found = checks.run(config, pruned, partial=partial, credentials=credentials)
        issues += found.issues
        notes += found.notes
        if jobs_check is not None and not partial:
            issues += [_job_issue(pruned, key, text) for key, text in jobs_check(config)]
    if issues and jobs_may_wait and all(_stands_in(issue, job_files) for issue in issues):
        rest = load(
            path, environ, state=state, cwd=cwd, home=home, raw=raw, texts=texts,
            resolve_secrets=resolve_secrets, programs=programs, jobs_check=jobs_check,
            jobs_dir=False, credentials=credentials,
        )  # fmt: skip
        told = tuple(_line(issue) for issue in issues)
        return replace(rest, jobs_wait=told, files=tuple(composer.files))
    if issues or config is None:
        raise refuse(path, issues, home=home)
    return Loaded(
        config=config,
        path=path,
        text=data.decode("utf-8-sig") if exists else "",
        hash=digest(data if exists else b""),
        exists=exists,
        notes=tuple(notes),
        files=tuple(composer.files) if exists else (),
        included=included,
        origins=origins,
        root=root,
        secrets=tuple(
            dict.fromkeys(
                (
                    *resolver.values(pruned),
                    *masks.hidden(filled.plain()),
                    *_of_files(filled.plain()),
                    *(text for name, text in env.items() if _guarded(name, text)),
                )
            )
        ),
        resolved=resolver.values_by_path,
    )


def _read(texts: Mapping[Path, bytes], path: Path) -> bytes:
    return texts[path] if path in texts else path.read_bytes()


def _bytes(path: Path, home: Path | None) -> bytes:
    if not path.is_file():
        message = "not a regular file"
        raise refuse(
            path, [Issue(path="", message=message, place=Place(path.name, 1, 1))], home=home
        )
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        issue = Issue(path="", message=message, code="unreadable", place=Place(path.name, 1, 1))
        raise refuse(path, [issue], home=home) from error


def _env_block(root: Node) -> dict[str, str]:
    member = root.member("env")
    plain = member.node.plain() if member else {}
    if not isinstance(plain, dict):
        return {}
    named = plain.get("vars")
    both = {**plain, **(named if isinstance(named, dict) else {})}
    return {k: v for k, v in both.items() if isinstance(v, str) and "${" not in v}


def _guarded(name: str, text: str) -> bool:
    """Whether a variable holds what no log may show; a short one would hide ordinary words."""
    return masks.is_secret(name) and len(text) >= _WORTH_HIDING and not masks.is_marker(text)


def _of_files(value: Any) -> Iterator[str]:
    """What the credential files hold that the config names, as far as they can be read."""
    match value:
        case Mapping():
            for key, inner in value.items():
                if key in _FILES and isinstance(inner, str):
                    with suppress(OSError):
                        yield credential_file.read(inner)
                else:
                    yield from _of_files(inner)
        case list() | tuple():
            for inner in value:
                yield from _of_files(inner)
        case _:
            pass


def _unused(use: Use) -> Note:
    message = f"secret reference not resolved: {use.unused}"
    return Note(
        code="SECRETS_REF_IGNORED_INACTIVE_SURFACE",
        path=use.path,
        message=message,
        place=use.node.place,
    )


def _overridden(plain: tuple[str, Node]) -> Note:
    path, node = plain
    return Note(
        code="SECRETS_REF_OVERRIDES_PLAINTEXT",
        path=path,
        message="a plain secret and a reference stand here: the reference is used; take the"
        " other out",
        level="warning",
        place=node.place,
    )


def _stands_in(issue: Issue, files: frozenset[str]) -> bool:
    return issue.place is not None and issue.place.file in files


def _line(issue: Issue) -> str:
    where = "" if issue.place is None else f"{issue.place.file}:{issue.place.line}: "
    return f"{where}{issue.path}: {issue.message}" if issue.path else f"{where}{issue.message}"


def _job_issue(root: Node, key: Key, text: str) -> Issue:
    return Issue(path=dotted(key), message=text, code="job", place=locate(root, key)[1].place)
