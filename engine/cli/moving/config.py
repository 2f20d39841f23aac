"""The other product's config as ours: the same keys, what no gateway starts with left out and told.

operations.md §2: any key of the reference loads here; what has no effect yet is named. Text in,
text out; the loader judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config.edit import set_text, unset_text
from engine.config.json5 import parse
from engine.config.paths import VARIABLES
from engine.config.starters import MODELS
from jobs.errors import ConfigInvalid, EngineError
from jobs.importing.report import Notes, Weight

if TYPE_CHECKING:
    from engine.config.load import Loaded

_MOST: Final = 500  # parts that are left out before it is given up
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
_REDIRECTS: Final = frozenset({"STATE_DIR", "CONFIG_PATH", "HOME", "PROFILE", "OAUTH_DIR"})
_THEIRS: Final = ("OPENCLAW_", "CLAWDBOT_", "MOLTBOT_")
STAND_IN: Final = "not-there-yet"
Judge = Callable[[str, Mapping[str, str]], "Loaded"]  # text and variables; raises ConfigInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What becomes of a config."""

    text: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # lines of `.env`
    missing: tuple[str, ...] = ()  # variables nobody has set yet


# -- .env ------------------------------------------------------------------------------------


def env_lines(values: Mapping[str, str], notes: Notes) -> dict[str, str]:
    """Return its variables, and those of its own under our names too."""
    found: dict[str, str] = {}
    for name, value in values.items():
        own = next((name.removeprefix(one) for one in _THEIRS if name.startswith(one)), None)
        if own is None:
            found[name] = value
        elif own in _REDIRECTS:
            why = "it says where the other home lies: not taken over"
            notes.add(Weight.NOTE, f".env {name}", why)
        else:
            found[name] = value  # the config may say ${…}
            if f"ENGINE_{own}" in VARIABLES:
                found[f"ENGINE_{own}"] = value
                notes.add(Weight.NOTE, f".env {name}", f"here it is ENGINE_{own}")
    return found


# -- the config ------------------------------------------------------------------------------


def translated(
    text: str,
    *,
    env: Mapping[str, str],
    keys: Mapping[str, str],
    home: Path,
    judge: Judge,
    notes: Notes,
) -> Translated:
    """Return a config a gateway starts with, as near to what it was as can be."""
    lines = dict(env)
    values = _plain(text)
    if _below(values, "meta") is not None:  # the stamp of another program
        text = unset_text(text, "meta")
    if not _below(values, "gateway", "mode"):
        text = set_text(text, "gateway.mode", "local")
    text, more = _providers(text, values, env, keys, notes)
    lines |= more
    text, loaded, missing = _loading(text, lines, judge, notes)
    for note in loaded.notes:
        notes.add(Weight.NOTE, note.path, note.message.removeprefix(f"{note.path}: "))
    for path in _leading_back(_plain(text), home):
        notes.add(
            Weight.CHANGED,
            path,
            "it still leads into the other home",
            f"engine config set {path} PATH",
        )
    if not _below(_plain(text), "agents", "defaults", "heartbeat", "target"):
        notes.add(
            Weight.NOTE,
            "agents.defaults.heartbeat.target",
            "it is not set: what beats say goes nowhere, as before",
            "engine config set agents.defaults.heartbeat.target last",
        )
    return Translated(text=text, env=lines, missing=missing)


def _loading(
    text: str, env: Mapping[str, str], judge: Judge, notes: Notes
) -> tuple[str, Loaded, tuple[str, ...]]:
    """Take out, one after the other, what it cannot be loaded with."""
    missing: dict[str, None] = {}
    for _ in range(_MOST):
        try:
            loaded = judge(text, {**env, **dict.fromkeys(missing, STAND_IN)})
        except ConfigInvalid as refusal:
            issues = refusal.detail.get("issues")
            if not isinstance(issues, list) or not issues:
                raise
            made = _mended(text, issues, missing, notes)
            if made is None:
                raise  # it is wrong as a whole
            text = made
            continue
        return text, loaded, tuple(missing)
    raise AssertionError("every round takes out a part, and there are not so many")


def _mended(
    text: str, issues: list[dict[str, Any]], missing: dict[str, None], notes: Notes
) -> str | None:
    """One round: variables first, since what they stand for may be wrong only for want of them."""
    unset = [one for one in issues if one.get("code") == "missing-variable"]
    for issue in unset:
        for name in _VARIABLE.findall(str(issue["message"])):
            if name not in missing:
                missing[name] = None
                why, fix = f"{name} is set nowhere", f"put {name}=… into .env before the start"
                notes.add(Weight.HELD, str(issue["path"]), why, fix)
    if unset:
        return text
    issue = issues[0]
    path, message = str(issue["path"]), str(issue["message"])
    if issue.get("code") == "legacy":
        moved = _moved(text, path, str(issue.get("suggestion") or ""))
        if moved is not None:
            notes.add(Weight.CHANGED, path, f"it is {issue['suggestion']} now")
            return moved
    notes.add(Weight.LEFT_OUT, path or "the file", message)
    return _without(text, path)


def _moved(text: str, path: str, to: str) -> str | None:
    value = _below(_plain(text), *path.split("."))
    if not _PLAIN_PATH.fullmatch(to) or value is None:
        return None
    text = unset_text(text, path)
    there = _below(_plain(text), *to.split("."))
    return text if there is not None else set_text(text, to, value)


def _without(text: str, path: str) -> str | None:
    """The text without a key, or, if that cannot be taken out alone, without what holds it."""
    while path:
        try:
            return unset_text(text, path)
        except EngineError:
            path = re.sub(r"(\.?[^.\[\]]+|\[[^\]]*\])$", "", path)
    return None


# -- models ----------------------------------------------------------------------------------


def _providers(
    text: str,
    values: Any,
    env: Mapping[str, str],
    keys: Mapping[str, str],
    notes: Notes,
) -> tuple[str, dict[str, str]]:
    """Providers it knows by itself stand in the config here, with their keys in `.env`."""
    lines: dict[str, str] = {}
    there = _below(values, "models", "providers") or {}
    for name in dict.fromkeys(_refs(values)):
        starter = MODELS.get(name)
        if name in there or starter is None or not starter.base_url:
            continue
        block = {"baseUrl": starter.base_url}
        if starter.api != "openai-completions":
            block["api"] = starter.api
        if starter.variable and (name in keys or starter.variable in env):
            if starter.variable not in env:
                lines[starter.variable] = keys[name]
            block["apiKey"] = f"${{{starter.variable}}}"
        elif starter.variable:
            fix = f"engine onboard --provider {name}"
            notes.add(Weight.HELD, f"models.providers.{name}.apiKey", "no key was found", fix)
        text = set_text(text, f"models.providers.{name}", block)
        notes.add(
            Weight.CHANGED, f"models.providers.{name}", "written out: nothing is built in here"
        )
    return text, lines


def _refs(values: Any) -> Iterator[str]:
    """Providers of every model that is named for an agent."""
    agents = [_below(values, "agents", "defaults"), *(_below(values, "agents", "list") or ())]
    for agent in agents:
        model = _below(agent, "model")
        named = [_below(agent, "heartbeat", "model"), model]
        if isinstance(model, dict):
            named += [model.get("primary"), *(model.get("fallbacks") or ())]
        for one in named:
            if isinstance(one, str) and "/" in one:
                yield one.partition("/")[0]


# -- small ------------------------------------------------------------------------------------


def _leading_back(value: Any, home: Path, path: str = "") -> Iterator[str]:
    """Keys whose text names a place in the other home."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leading_back(inner, home, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leading_back(inner, home, f"{path}[{number}]")
    elif isinstance(value, str) and value.startswith((f"{home}/", "~/.openclaw/")):
        yield from () if path.endswith("workspace") else (path,)  # those were seen to


def _plain(text: str) -> Any:
    return parse(text).root.plain()


def _below(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values
