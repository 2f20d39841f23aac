"""Keys of older configs, moved to where they stand now (operations.md §2.6). Pure: text to text.

`identity`, `agent.*`, `routing.*`, `gateway.token` and channels at the top of the file are what
the first templates of the reference product wrote. Everything that is not moved keeps its bytes.
What stands at the new place already is not overwritten: then the old key is only taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.config.edit import find, set_text, unset_text
from engine.config.json5 import parse
from engine.config.keypath import join, parse_path
from engine.config.schema.gateway import BIND_ALIASES

MAIN: Final = "main"
CHANNELS: Final = (
    "telegram", "whatsapp", "discord", "slack", "signal", "imessage", "msteams", "googlechat",
    "qqbot", "webchat", "matrix", "mattermost",
)  # fmt: skip

# Old key -> new key; the longest that fits is taken, what is below it goes along.
MOVES: Final[Mapping[str, str]] = {
    "gateway.token": "gateway.auth.token",
    "gateway.password": "gateway.auth.password",
    "agent.allowedModels": "agents.defaults.models",
    "agent.modelAliases": "agents.defaults.models",
    "agent.tools": "tools",
    "agent.elevated": "tools.elevated",
    "agent.bash": "tools.exec",
    "agent.subagents": "agents.defaults.subagents",
    "agent.mainKey": "session.mainKey",
    "agent": "agents.defaults",
    "routing.bindings": "bindings",
    "routing.queue": "messages.queue",
    "routing.agentToAgent": "tools.agentToAgent",
    "routing.transcribeAudio": "audio.transcription",
    "routing.groupChat.mentionPatterns": "messages.groupChat.mentionPatterns",
    "routing.groupChat.historyLimit": "messages.groupChat.historyLimit",
    **{name: f"channels.{name}" for name in CHANNELS},
}


@dataclass(frozen=True, slots=True)
class Moved:
    """One key that moved; ``to`` is empty where the new place was taken already."""

    old: str
    to: str


def migrated(text: str) -> tuple[str, tuple[Moved, ...]]:
    """The text with every older key at its new place, and which those are."""
    moved: list[Moved] = []
    for step in (_agents, _identity, _groups, _allow_from, _listed, _bind):
        text = step(text, moved)
    for old in ("routing.groupChat", "routing", "agent"):
        if _plain(text, old) == {}:
            text = unset_text(text, old)
    return text, tuple(moved)


def _plain(text: str, path: str) -> Any:
    node = find(parse(text if text.strip() else "{}").root, parse_path(path))
    return None if node is None else node.plain()


def _moved(text: str, old: str, new: str, value: Any, moved: list[Moved]) -> str:
    """Take a key out and set it at its new place, unless somebody wrote there."""
    text = unset_text(text, old)
    there = _plain(text, new)
    if there is None:
        moved.append(Moved(old, new))
        return set_text(text, new, value)
    if isinstance(there, dict) and isinstance(value, dict):
        for key, inner in value.items():
            if key not in there:
                text = set_text(text, join(new, key), inner)
        moved.append(Moved(old, new))
        return text
    moved.append(Moved(old, ""))
    return text


def _listed(text: str, moved: list[Moved]) -> str:
    """What moves as it is: the longest names first, so that what is left goes with the rest."""
    for old in sorted(MOVES, key=len, reverse=True):
        value = _plain(text, old)
        if value is None or (value == {} and old == "agent"):
            continue
        text = _moved(text, old, MOVES[old], _fitting(old, value), moved)
    return text


def _fitting(old: str, value: Any) -> Any:
    if old != "agent" or not isinstance(value, dict):
        return _models(value) if old in ("agent.allowedModels", "agent.modelAliases") else value
    told = dict(value)
    model, fallbacks = told.get("model"), told.pop("modelFallbacks", None)
    if isinstance(model, str) or fallbacks:
        made = {"primary": model} if isinstance(model, str) else dict(model or {})
        told["model"] = {**made, **({"fallbacks": fallbacks} if fallbacks else {})}
    every = told.pop("heartbeatMinutes", None)
    if isinstance(every, int) and "heartbeat" not in told:
        told["heartbeat"] = {"every": f"{every}m"}
    return told


def _models(value: Any) -> Any:
    """A list of models, or names for them, as the map it is now."""
    if isinstance(value, list):
        return {str(ref): {} for ref in value}
    if isinstance(value, dict):
        return {str(ref): {"alias": str(name)} for name, ref in value.items()}
    return value


def _bind(text: str, moved: list[Moved]) -> str:
    """`gateway.bind` takes modes; an address some people write there means one (§6.1)."""
    mode = BIND_ALIASES.get(str(_plain(text, "gateway.bind")))
    if mode is None:
        return text
    moved.append(Moved("gateway.bind", f'"{mode}"'))
    return set_text(text, "gateway.bind", mode)


def _identity(text: str, moved: list[Moved]) -> str:
    """`identity` is the default agent's."""
    value = _plain(text, "identity")
    if value is None:
        return text
    agents = _plain(text, "agents.list")
    if not agents:
        text = unset_text(text, "identity")
        moved.append(Moved("identity", "agents.list[0].identity"))
        entry = {"id": MAIN, "default": True, "identity": value}
        return set_text(text, "agents.list", [entry])
    number = _default(agents)
    return _moved(text, "identity", f"agents.list[{number}].identity", value, moved)


def _default(agents: Any) -> int:
    marked = (n for n, one in enumerate(agents) if isinstance(one, dict) and one.get("default"))
    return next(marked, 0)


def _agents(text: str, moved: list[Moved]) -> str:
    """`routing.agents` is a map of agents, `routing.defaultAgentId` marks one of them."""
    value, default = _plain(text, "routing.agents"), _plain(text, "routing.defaultAgentId")
    if isinstance(value, dict):
        text = unset_text(text, "routing.agents")
        listed = _plain(text, "agents.list") or []
        known = {one.get("id") for one in listed if isinstance(one, dict)}
        for ident, facts in value.items():
            if ident not in known:
                entry = {"id": ident, **(facts if isinstance(facts, dict) else {})}
                text = set_text(text, "agents.list[]", entry)
        moved.append(Moved("routing.agents", "agents.list"))
    if default is not None:
        text = unset_text(text, "routing.defaultAgentId")
        there = _plain(text, f"agents.list[id={default}]")
        if there is not None:
            text = set_text(text, f"agents.list[id={default}].default", True)
        moved.append(Moved("routing.defaultAgentId", "agents.list[].default" if there else ""))
    return text


def _groups(text: str, moved: list[Moved]) -> str:
    """`routing.groupChat.requireMention` is each channel's own."""

    def there(name: str) -> str:
        return f'channels.{name}.groups["*"].requireMention'

    return _spread(text, "routing.groupChat.requireMention", there, moved)


def _allow_from(text: str, moved: list[Moved]) -> str:
    """`routing.allowFrom` is each channel's own; of the first templates there was one channel."""
    return _spread(text, "routing.allowFrom", lambda name: f"channels.{name}.allowFrom", moved)


def _spread(text: str, old: str, new: Callable[[str], str], moved: list[Moved]) -> str:
    value = _plain(text, old)
    if value is None:
        return text
    text = unset_text(text, old)
    for name in list(_configured(text)) or ["whatsapp"]:
        if _plain(text, new(name)) is None:
            text = set_text(text, new(name), value)
            moved.append(Moved(old, new(name)))
    return text


def _configured(text: str) -> Iterator[str]:
    """The channels of the file, wherever they stand yet; those at the top are moved first."""
    root = parse(text if text.strip() else "{}").root
    for name in CHANNELS:
        if find(root, ("channels", name)) is not None or root.member(name) is not None:
            yield name
