"""What `engine config set`, `unset` and `patch` were told to do, as a list of edits (§3).

operations.md §3: a value, a reference to a secret, or a provider of secrets, one at a time or
as a batch. Pure: words in, edits out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from engine.config import edit
from engine.config.keypath import join
from jobs.errors import UsageError

REPLACE_MEANS: Final = "repeat it with --merge to keep them, or with --replace to drop them"


class How(StrEnum):
    """What is done at a path."""

    SET = "set"
    MERGE = "merge"
    UNSET = "unset"


@dataclass(frozen=True, slots=True)
class Op:
    """One edit. ``typed`` is the value as it was typed, where it may be meant as text."""

    path: str
    value: Any = None
    how: How = How.SET
    source: str = "value"  # value | ref | provider | patch
    typed: str | None = None

    def on(self, text: str, path: str) -> str:
        """The text after this edit at ``path``, where that file has it."""
        match self.how:
            case How.SET:
                return edit.set_text(text, path, self.value)
            case How.MERGE:
                return edit.merge_text(text, path, self.value)
            case How.UNSET:
                return edit.unset_text(text, path)


def edited(text: str, ops: Sequence[Op], paths: Sequence[str]) -> str:
    """The text after all of them, in order."""
    for op, path in zip(ops, paths, strict=True):
        text = op.on(text, path)
    return text


def batch(text: str, name: str, *, how: How = How.SET) -> list[Op]:
    """`--batch-json`: a list of `{path, value|ref|provider}`."""
    rows = edit.value_of(text, strict=True)
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{name} was not understood", why="it is no list of edits", fix=_BATCH)
    return [_row(row, number, name, how) for number, row in enumerate(rows)]


_BATCH: Final = """write it like [{path: "gateway.port", value: 19001}]"""
_KINDS: Final = ("value", "ref", "provider")


def _row(row: Any, number: int, name: str, how: How) -> Op:
    given = [kind for kind in _KINDS if isinstance(row, Mapping) and kind in row]
    if not isinstance(row, Mapping) or not isinstance(row.get("path"), str) or len(given) != 1:
        why = f"item {number + 1} needs path and one of value, ref, provider"
        raise UsageError(f"{name} was not understood", why=why, fix=_BATCH)
    stray = sorted(set(row) - {"path", *_KINDS})
    if stray:
        why = f"item {number + 1} has {', '.join(stray)} besides"
        raise UsageError(f"{name} was not understood", why=why, fix=_BATCH)
    return Op(str(row["path"]), row[given[0]], how, given[0])


def reference(source: str | None, provider: str | None, ident: str | None) -> dict[str, str] | None:
    """`--ref-source`, `--ref-provider`, `--ref-id` as a reference; None when none was given."""
    if source is None and provider is None and ident is None:
        return None
    if source is None or not ident:
        raise UsageError(
            "the reference was not understood",
            why="--ref-source and --ref-id go together",
            fix="--ref-source env --ref-id TELEGRAM_BOT_TOKEN",
        )
    return {"source": source, **({"provider": provider} if provider else {}), "id": ident}


def provider(flags: Mapping[str, Any]) -> dict[str, Any] | None:
    """`--provider-*` as a provider of secrets; None when none was given."""
    given = {name: value for name, value in flags.items() if value not in (None, (), False)}
    if not given:
        return None
    if "source" not in given:
        raise UsageError(
            "the provider was not understood",
            why="--provider-source is missing",
            fix="--provider-source file --provider-path ./secrets.json",
        )
    return {name: _plain(name, value) for name, value in given.items()}


def _plain(name: str, value: Any) -> Any:
    if name == "env":
        return dict(_pair(one) for one in value)
    return list(value) if isinstance(value, tuple) else value


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(
            f"--provider-env {text} was not understood", why="it is NAME=VALUE", fix="NAME=VALUE"
        )
    return name, value


def patch(text: str, current: Mapping[str, Any], replaced: Iterable[str]) -> list[Op]:
    """A recursive merge as edits: null takes out, objects merge, the rest is replaced."""
    wish = edit.value_of(text, strict=True)
    if not isinstance(wish, Mapping):
        raise UsageError(
            "the patch was not understood", why="it is no object", fix="{ gateway: { port: 1 } }"
        )
    return list(_patch(wish, "", current, frozenset(replaced)))


def _patch(wish: Mapping[str, Any], path: str, there: Any, whole: frozenset[str]) -> Iterable[Op]:
    for name, value in wish.items():
        here = join(path, name)
        old = there.get(name) if isinstance(there, Mapping) else None
        known = isinstance(there, Mapping) and name in there
        if value is None:
            if known:
                yield Op(here, None, How.UNSET, "patch")
        elif isinstance(value, Mapping) and isinstance(old, Mapping) and here not in whole:
            yield from _patch(value, here, old, whole)
        else:
            yield Op(here, edit.without_nulls(value), How.SET, "patch")


def lost(before: Any, wish: Any) -> list[str]:
    """Entries of a map, or of a list with ids, that a new value would drop."""
    return sorted(_entries(before) - _entries(wish))


def _entries(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value}
    if isinstance(value, list):
        return {str(v.get("id", v)) if isinstance(v, dict) else str(v) for v in value}
    return set()
