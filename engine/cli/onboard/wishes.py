"""What somebody wants of a new engine, and what of the config that changes. Pure.

operations.md §1.1, §5 (where a secret may stand), §16 L14 (what beats cost), L21 (target).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from engine.config.edit import merge_text, set_text
from engine.config.keypath import join
from engine.config.starters import MODELS, STARTERS, Starter
from jobs.errors import UsageError

_DAY: Final = timedelta(days=1)
_SOURCES: Final = ("env", "file", "exec")
TOKENS: Final = 2_000  # of a beat with a short checklist, question and answer together


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A secret as the config writes it, and what goes into `.env` for it."""

    written: Any = field(repr=False)  # `${NAME}`, a reference, or the value itself
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


def secret(answer: str, variable: str, *, plain: bool) -> Kept:
    """Return where a secret goes: `env:NAME`, `ref:SOURCE:PROVIDER:ID`, or the value as typed.

    A value goes into `.env` under ``variable``, or, with ``plain``, into the config itself.
    """
    head, _, rest = answer.partition(":")
    if head == "env" and rest:
        return Kept(written=f"${{{rest}}}")
    if head == "ref":
        source, _, more = rest.partition(":")
        provider, _, ident = more.partition(":")
        if source not in _SOURCES or not provider or not ident:
            raise UsageError(
                f"{answer} is no reference to a secret",
                why=f"it is ref:SOURCE:PROVIDER:ID, SOURCE one of {', '.join(_SOURCES)}",
                fix="write for example ref:file:vault:/openai/key",
            )
        return Kept(written={"source": source, "provider": provider, "id": ident})
    if plain:
        return Kept(written=answer)
    return Kept(written=f"${{{variable}}}", env={variable: answer})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWish:
    """Which model answers. ``provider`` is a name of `MODELS`; `offline` is none."""

    provider: str
    model: str = ""
    base_url: str = ""
    key: Kept | None = None

    @property
    def ref(self) -> str:
        """How the config names it."""
        return "offline" if self.provider == "offline" else f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelWish:
    """Over what messages come and go. ``fields`` are keys of the account."""

    name: str
    account: str | None = None  # an account of its own; None: the keys of the channel
    fields: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    owner: str | None = None  # who gets the test message
    default_account: str | None = None  # to be written

    @property
    def starter(self) -> Starter:
        """What is known about it."""
        return STARTERS[self.name]

    @property
    def path(self) -> str:
        """Where its keys stand."""
        base = f"channels.{self.name}"
        return base if self.account is None else join(f"{base}.accounts", self.account)

    @property
    def to(self) -> str | None:
        """Where the test message goes; None: where an alert would."""
        if not self.starter.hears:
            return None
        return f"{self.name}:{self.starter.chat}{self.owner}" if self.owner else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatWish:
    """When the agent looks by itself. ``hours``: (start, end), or None for always."""

    every: str
    hours: tuple[str, str] | None = None
    target: str = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """All answers. What is None stays as it is."""

    agent: str = "main"
    name: str | None = None
    model: ModelWish | None = None
    channel: ChannelWish | None = None
    beat: BeatWish | None = None

    @property
    def env(self) -> dict[str, str]:
        """Lines of `.env`."""
        key = self.model.key if self.model is not None else None
        return {**(key.env if key else {}), **(self.channel.env if self.channel else {})}


Change = tuple[str, Any]


def applied(wishes: Wishes, text: str, values: Mapping[str, Any]) -> str:
    """Return the text of the config as wished; everything else in it stays as it is."""
    for path, value in changes(wishes, values):
        text = (
            merge_text(text, path, value)
            if isinstance(value, dict)
            else set_text(text, path, value)
        )
    return text


def changes(wishes: Wishes, values: Mapping[str, Any]) -> Iterator[Change]:
    """Yield what is set, and to what; a value that stands there already is set to itself."""
    if (_below(values, "gateway", "mode")) is None:
        yield "gateway.mode", "local"
    yield from _agent(wishes, values)
    if wishes.model is not None:
        yield from _model(wishes.model)
    if wishes.channel is not None:
        yield from _channel(wishes.channel)
    if wishes.beat is not None:
        yield from _beat(wishes.beat)


def _agent(wishes: Wishes, values: Mapping[str, Any]) -> Iterator[Change]:
    listed = _below(values, "agents", "list") or []
    known = [str(one.get("id")) for one in listed if isinstance(one, dict)]
    path = f"agents.list[id={wishes.agent}]"
    if wishes.agent not in known and (wishes.agent != "main" or known or wishes.name):
        yield path, {"default": True} if not known else {"name": wishes.name or wishes.agent}
    if wishes.name:
        yield f"{path}.name", wishes.name


def _model(wish: ModelWish) -> Iterator[Change]:
    if wish.provider != "offline":
        starter = MODELS[wish.provider]
        path = f"models.providers.{wish.provider}"
        yield f"{path}.baseUrl", wish.base_url
        if starter.api != "openai-completions":
            yield f"{path}.api", starter.api
        if wish.key is not None:
            yield f"{path}.apiKey", wish.key.written
    yield "agents.defaults.model.primary", wish.ref


def _channel(wish: ChannelWish) -> Iterator[Change]:
    for key, value in wish.fields.items():
        yield f"{wish.path}.{key}", value
    if wish.default_account is not None:
        yield f"channels.{wish.name}.defaultAccount", wish.default_account


def _beat(wish: BeatWish) -> Iterator[Change]:
    path = "agents.defaults.heartbeat"
    yield f"{path}.every", wish.every
    yield f"{path}.target", wish.target
    if wish.hours is not None:
        yield f"{path}.activeHours", dict(zip(("start", "end"), wish.hours, strict=True))


def _below(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def owner_of(values: Mapping[str, Any]) -> str | None:
    """Return the chat with the first person a configured channel lets in by name."""
    for starter in STARTERS.values():
        listed = _below(values, "channels", starter.name, "allowFrom")
        people = [str(one) for one in listed] if isinstance(listed, list) else []
        known = [one for one in people if one != "*"]
        if starter.hears and known:
            return f"{starter.name}:{starter.chat}{known[0]}"
    return None


# -- what it comes to ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """What beats come to in a day, at most."""

    agents: int
    beats: int  # of one agent
    tokens: int  # of one beat

    @property
    def calls(self) -> int:
        """Model calls a day."""
        return self.agents * self.beats

    @property
    def words(self) -> str:
        """One line (operations.md §16 L14)."""
        if not self.calls:
            return "none"
        who = "1 agent" if self.agents == 1 else f"{self.agents} agents"
        beats = f"{who} × {self.beats} a day"
        if not self.tokens:
            return f"{beats}; the offline agent costs nothing"
        return (
            f"{beats} = {self.calls} model calls at most,"
            f" about {self.calls * self.tokens:,} tokens ({self.tokens:,} each);"
            " with nothing on the checklist no model is asked"
        )

    def to_json(self) -> dict[str, int]:
        """Return it as `--json` prints it."""
        return {
            "agents": self.agents,
            "beatsPerDay": self.beats,
            "callsPerDay": self.calls,
            "tokensPerDay": self.calls * self.tokens,
        }


def cost(agents: int, period: timedelta, hours: tuple[int, int] | None, *, free: bool) -> Cost:
    """Return what beats of this period come to, inside hours given as minutes of the day."""
    day = _DAY
    if hours is not None:
        start, end = hours
        day = timedelta(minutes=(end - start) if start < end else 1440 - start + end)
    beats = 0 if period <= timedelta() else max(1, day // period)
    return Cost(agents=agents, beats=beats, tokens=0 if free else TOKENS)
