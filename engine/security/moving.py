"""Plans that turn plain secrets into references, and what carries them out (operations.md §5).

A plan names places and references and holds no secret: it may lie in a repository. What it says
to `move` is taken out of the config and put into the file of its provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.config.providers import ALIAS
from engine.config.secrets import secret
from engine.config.writing import put
from engine.security.plaintext import may_refer
from jobs.errors import InvalidInput

KIND: Final = "engine.secrets.plan"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place that gets a reference."""

    path: str
    ref: Mapping[str, str]
    move: bool = False  # the secret that stands there goes into the provider's file


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be changed."""

    targets: tuple[Target, ...] = ()
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self, now: datetime) -> dict[str, Any]:
        """Return it as a plan file holds it."""
        return {
            "version": VERSION,
            "kind": KIND,
            "createdAt": now.isoformat().replace("+00:00", "Z"),
            "providers": {alias: dict(one) for alias, one in self.providers.items()},
            "targets": [
                {"path": one.path, "ref": dict(one.ref), **({"move": True} if one.move else {})}
                for one in self.targets
            ],
        }


def read(raw: Any) -> Plan:
    """A plan out of its file; refuses what it does not understand before anything changes."""
    if not isinstance(raw, Mapping) or raw.get("kind") != KIND or raw.get("version") != VERSION:
        raise _refused(f"it is no {KIND} of version {VERSION}")
    providers = raw.get("providers") or {}
    targets = raw.get("targets") or []
    if not isinstance(providers, Mapping) or not isinstance(targets, list):
        raise _refused("providers is no object, or targets is no list")
    for alias, one in providers.items():
        if not ALIAS.fullmatch(str(alias)) or not isinstance(one, Mapping):
            raise _refused(f"providers.{alias} is no provider")
    return Plan(targets=tuple(map(_target, targets)), providers=providers)


def _target(raw: Any) -> Target:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("path"), str):
        raise _refused("a target has no path")
    path = raw["path"]
    try:
        ref = secret(raw.get("ref")).ref
    except ValueError as error:
        raise _refused(f"{path}: {error}") from error
    if ref is None:
        raise _refused(f"{path}: a plan holds references, and no secrets")
    if not may_refer(path):
        raise _refused(f"{path} is no place for a secret")
    return Target(path=path, ref=dict(raw["ref"]), move=raw.get("move") is True)


def _refused(why: str) -> InvalidInput:
    return InvalidInput(
        "the plan was not carried out", why=why, fix="engine secrets configure --plan-out FILE"
    )


def moved(
    plan: Plan, values: Mapping[str, str], providers: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Put what is to be moved into the files of its providers; the files that changed."""
    changed: dict[Path, Any] = {}
    for target in plan.targets:
        if not target.move:
            continue
        alias = str(target.ref.get("provider") or "")
        provider = providers.get(alias)
        if target.ref["source"] != "file" or not isinstance(provider, Mapping):
            raise _refused(f"{target.path}: only into a file with a provider can a secret be moved")
        if provider.get("mode", "json") != "json":
            raise _refused(f"{target.path}: {alias} holds one secret, and no JSON")
        if target.path not in values:
            raise _refused(f"{target.path}: no plain secret stands there")
        path = folder / Path(str(provider.get("path") or "")).expanduser()
        document = changed.setdefault(path, _document(path))
        _put(document, target.ref["id"], values[target.path])
    for path, document in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        put(path, (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode("utf-8"))
    return list(changed)


def _document(path: Path) -> Any:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise _refused(f"{path} is no JSON that can be added to") from None
    if not isinstance(found, dict):
        raise _refused(f"{path} holds no JSON object")
    return found


def _put(document: dict[str, Any], pointer: str, value: str) -> None:
    *above, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    here = document
    for part in above:
        below = here.setdefault(part, {})
        if not isinstance(below, dict):
            raise _refused(f"{pointer} leads through something that is no object")
        here = below
    here[last] = value


def pointer_of(path: str) -> str:
    """Where a secret of the config may lie in a file: its own path, as a pointer."""
    parts: Sequence[str] = path.replace("[", ".").replace("]", "").split(".")
    plain = [part.strip('"').replace("~", "~0").replace("/", "~1") for part in parts if part]
    return "/" + "/".join(plain)
