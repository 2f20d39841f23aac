"""The refusals of cron.md §17, part by part and for the whole job. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from jobs.model import SYSTEMS_OWN, AgentTurn, HeartbeatBeat, Job, Misfire, SystemEvent, WakeMode
from jobs.normal import object_of, refuse, short_delivery, text_or_none, unknown_key
from jobs.policies import FailureAlert
from jobs.schedule import At
from jobs.written import span_ms

CHAT_KEYS: Final = frozenset({"channel", "to", "accountId", "threadId"})
THINKING: Final = ("off", "minimal", "low", "medium", "high", "xhigh", "adaptive", "max", "ultra")
_DELIVERY: Final = CHAT_KEYS | {
    "mode",
    "bestEffort",
    "deliverBy",
    "failureDestination",
    "completionDestination",
    "also",
}
_ALSO_MOST: Final = 10
_DELIVER_MOST: Final = 30 * 86_400_000  # ms
_PAYLOADS: Final[Mapping[str, frozenset[str]]] = {
    "systemEvent": frozenset({"text"}),
    "agentTurn": frozenset(
        {
            "message",
            "model",
            "fallbacks",
            "thinking",
            "timeoutSeconds",
            "lightContext",
            "toolsAllow",
            "allowUnsafeExternalContent",
            "external",
        }
    ),
    "command": frozenset(
        {
            "argv",
            "cwd",
            "env",
            "input",
            "timeoutSeconds",
            "noOutputTimeoutSeconds",
            "outputMaxBytes",
        }
    ),
}
_PREFIXES: Final = frozenset({"telegram", "qqbot", "local", "apprise"})
_INBOX: Final = "local"  # the inbox of this machine: no channel a recipient could be on
_FLAGS: Final = {
    "delivery": "--channel",
    "failureAlert": "--failure-alert-channel",
    "model": "--model",
    "toolsAllow": "--tools",
}
_POLICIES: Final = ("run-once", "skip", "run-all")
_TOPICS: Final = "-1001234567890, -1001234567890:topic:42 or -1001234567890:42"

Faults = Callable[[Job], Iterable[tuple[str, str]]]  # → (key of the job, what is wrong there)


# -- the whole -----------------------------------------------------------------------------------


def judged(
    job: Job,
    default_agent: str,
    agents: Sequence[str],
    channels: Sequence[str] | None,
    faults: Faults | None = None,
) -> Job:
    """Return the job if its parts fit together, its channel spelt out, else raise `InvalidJob`.

    ``channels`` are the configured ones, None where nobody knows them; ``faults`` tells which
    of the chats and models it names there are not.
    """
    _agent(job, default_agent, agents)
    _target_and_payload(job)
    _pacing(job)
    job = _delivery_and_target(job, channels)
    for what, text in faults(job) if faults is not None else ():
        raise refuse(f"the {what} was refused", why=text, fix=f"name another with {_FLAGS[what]}")
    return job


def places(job: Job) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return every chat a job names for words of its own, and the key in which it stands."""
    spec = job.delivery
    if spec.mode == "announce":
        yield "delivery", {"channel": spec.channel, "to": spec.to}
    for key in ("also", "failureDestination", "completionDestination"):
        more = spec.extra.get(key) or ()
        for place in [more] if isinstance(more, Mapping) else more:
            if place.get("mode", "announce") == "announce":
                yield "delivery", place
    alert = job.policies.failure_alert
    if isinstance(alert, FailureAlert) and alert.mode != "webhook":
        yield "failureAlert", {"channel": alert.channel, "to": alert.to}


def models(job: Job) -> tuple[str, ...]:
    """Return every model a job names."""
    turn = job.payload
    named = (turn.model, *(turn.fallbacks or ())) if isinstance(turn, AgentTurn) else ()
    budget = job.policies.budget
    return tuple(ref for ref in (*named, budget.fallback_model if budget else None) if ref)


def _agent(job: Job, default_agent: str, agents: Sequence[str]) -> None:
    if job.agent_id is not None and agents and job.agent_id not in agents:
        raise refuse(
            f"unknown agent {job.agent_id!r}", fix=f"use one of: {', '.join(sorted(agents))}"
        )
    other = job.agent_id is not None and job.agent_id != default_agent
    if other and job.session_target == "main" and not isinstance(job.payload, HeartbeatBeat):
        raise refuse(
            f'sessionTarget "main" is only valid for the default agent ({default_agent})',
            fix='use sessionTarget "isolated", or leave agentId out',
        )


def _target_and_payload(job: Job) -> None:
    is_event = isinstance(job.payload, SystemEvent)
    if isinstance(job.payload, SYSTEMS_OWN):
        return
    if job.session_target == "main" and not is_event:
        raise refuse('main cron jobs require payload.kind="systemEvent"')
    if job.session_target != "main" and is_event:
        raise refuse('isolated cron jobs require payload.kind="agentTurn" (or "command")')


def _pacing(job: Job) -> None:
    """Refuse bounds of a next check that make none (cron.md §1); they have no effect yet."""
    wish = job.extra.get("pacing")
    if wish is None:
        return
    given = object_of(wish, "pacing")
    _known(given, frozenset({"min", "max"}), "pacing")
    bounds = [span_ms(given[key], f"pacing.{key}") for key in ("min", "max") if key in given]
    if not bounds or not 0 < bounds[0] <= bounds[-1]:
        raise refuse(
            "pacing was refused",
            why="it takes min, max or both, longer than nothing, and min is not above max",
            fix='for example {"min": "5m", "max": "1h"}',
        )
    if isinstance(job.schedule, At):
        raise refuse("pacing was refused", why="a job that runs once has no next check")


def _delivery_and_target(job: Job, channels: Sequence[str] | None) -> Job:
    delivery = job.delivery
    main = job.session_target == "main"
    if main and delivery.mode == "announce":
        raise refuse(
            'cron channel delivery config is only supported for sessionTarget="isolated"',
            fix="use an agentTurn in an isolated session, or delivery none",
        )
    if main and "failureDestination" in delivery.extra and delivery.mode != "webhook":
        raise refuse(
            'delivery.failureDestination is only supported for sessionTarget="isolated"'
            ' unless delivery.mode="webhook"'
        )
    if delivery.mode == "webhook":
        _url(delivery.to, "delivery")
    if delivery.mode != "announce" or delivery.channel is not None or channels is None:
        return job
    outside = sorted(set(channels) - {_INBOX})
    if len(outside) > 1 and not (job.session_key or delivery.best_effort):
        raise refuse(
            "explicit channel required when multiple channels are configured"
            f" ({', '.join(outside)})",
            fix=f"name one: --channel {outside[0]} (in JSON delivery.channel); or --channel last",
        )
    if delivery.to is None or len(outside) > 1:
        return job
    if not outside:
        raise refuse(
            f"recipient {delivery.to!r} names no channel",
            why="none is configured but the inbox of this machine",
            fix="engine setup --channel telegram; or --channel local for an inbox of that name",
        )
    return replace(job, delivery=replace(delivery, channel=outside[0]))


def _url(to: str | None, what: str) -> None:
    if why := url_fault(to):
        raise refuse(f"{what}.mode webhook requires {what}.to to be a valid http(s) URL", why=why)


def url_fault(to: str | None) -> str:
    """Return what is wrong with the address of a webhook; nothing if it is right (§10.1)."""
    if not to:
        return "there is none"
    try:
        url = urlsplit(to)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        secret = "@" in url.netloc
    except ValueError:
        valid = secret = False
    if secret:
        return "a webhook URL must not carry credentials"
    return "" if valid else "it begins with http:// or https:// and names a host"


# -- parts ---------------------------------------------------------------------------------------


def session_target(wish: str, session_key: str | None) -> str:
    """Return where a job runs; `current` becomes the session it was asked for in."""
    if wish in ("main", "isolated"):
        return wish
    if wish == "current":
        if not session_key:
            raise refuse(
                'sessionTarget "current" needs a session',
                fix='give sessionKey, or use sessionTarget "isolated"',
            )
        wish = f"session:{session_key}"
    head, _, name = wish.partition(":")
    if head != "session" or not name.strip():
        raise refuse(
            f"sessionTarget {wish!r} was refused", fix="use main, isolated, current or session:<id>"
        )
    if any(sign in name for sign in ("/", "\\", "\0", "..")):
        raise refuse(f"sessionTarget {wish!r} was refused", why="its id must not look like a path")
    return wish


def wake_mode(wish: Any, default: WakeMode = WakeMode.NOW) -> WakeMode:
    """Return when an event wakes its agent."""
    if wish is None or wish == "":
        return default
    try:
        return WakeMode(wish)
    except ValueError:
        raise refuse(f"wakeMode {wish!r} was refused", fix="use now or next-heartbeat") from None


def misfire(wish: Any, default: Misfire) -> Misfire:
    """Return the policy for missed slots; what is not given is as in ``default``."""
    given = object_of(wish, "misfire")
    _known(given, frozenset({"policy", "graceMs", "maxCatchUp"}), "misfire")
    policy = given.get("policy", default.policy)
    if policy not in _POLICIES:
        raise refuse(f"misfire.policy {policy!r} was refused", fix=f"use {', '.join(_POLICIES)}")
    grace = default.grace
    if "graceMs" in given:
        ms = given["graceMs"]
        grace = None if ms is None else timedelta(milliseconds=_number(ms, "misfire.graceMs"))
    most = given.get("maxCatchUp", default.max_catch_up)
    return Misfire(
        policy=policy, grace=grace, max_catch_up=int(_number(most, "misfire.maxCatchUp", least=1))
    )


def payload(wish: Mapping[str, Any]) -> None:
    """Refuse a payload with a wrong kind, key or value (cron.md §1.1)."""
    kind = wish.get("kind")
    if kind == "heartbeat":
        raise refuse("heartbeat jobs belong to the system", fix="see: engine heartbeat list")
    if kind == "script":
        raise refuse("payload.kind script is not supported", fix="use a command payload")
    if not isinstance(kind, str) or kind not in _PAYLOADS:
        raise refuse(
            f"payload.kind {kind!r} is not known", fix=f"use one of: {', '.join(_PAYLOADS)}"
        )
    if kind == "systemEvent" and "timeoutSeconds" in wish:
        raise refuse("--timeout-seconds is not supported for systemEvent jobs")
    _known(wish, _PAYLOADS[kind] | {"kind"}, f"payload ({kind})")
    _required(wish, {"systemEvent": "text", "agentTurn": "message"}.get(kind))
    for key in ("timeoutSeconds", "noOutputTimeoutSeconds"):
        if wish.get(key) is not None:
            _number(wish[key], f"payload.{key}")
    if kind == "agentTurn":
        _turn(wish)
    if kind == "command":
        _command(wish)


def _required(wish: Mapping[str, Any], key: str | None) -> None:
    if key is None:
        return
    text = wish.get(key)
    if not isinstance(text, str) or not text.strip():
        raise refuse(f"payload.{key} must not be blank")


def _turn(wish: Mapping[str, Any]) -> None:
    thinking = wish.get("thinking")
    if thinking is not None and thinking not in THINKING:
        raise refuse(f"payload.thinking {thinking!r} was refused", fix=f"use {', '.join(THINKING)}")
    if wish.get("model") is not None and text_or_none(wish["model"], "payload.model") is None:
        raise refuse("payload.model must not be blank")
    for key in ("lightContext", "allowUnsafeExternalContent", "external"):
        if not isinstance(wish.get(key, False), bool):
            raise refuse(f"payload.{key} must be true or false")
    for key in ("fallbacks", "toolsAllow"):
        if wish.get(key) is not None:
            _texts(wish[key], f"payload.{key}")


def _command(wish: Mapping[str, Any]) -> None:
    argv = wish.get("argv")
    _texts(argv, "payload.argv")
    if not argv or not argv[0].strip():
        raise refuse("payload.argv must name a program")
    env = object_of(wish.get("env") or {}, "payload.env")
    if not all(isinstance(text, str) for pair in env.items() for text in pair):
        raise refuse("payload.env must map names to texts")
    if any(not name or "=" in name for name in env):
        raise refuse("payload.env was refused", why="a name is not empty and has no = in it")
    for key in ("cwd", "input"):
        if not isinstance(wish.get(key) or "", str):
            raise refuse(f"payload.{key} must be a text")
    if any("\0" in text for text in (*argv, *env, *env.values(), wish.get("cwd") or "")):
        raise refuse("payload was refused", why="no program can be given a NUL character")
    if wish.get("outputMaxBytes") is not None:
        _number(wish["outputMaxBytes"], "payload.outputMaxBytes", least=1)


def _deliver_by(value: Any) -> int:
    told = span_ms(value, "delivery.deliverBy")
    if not 0 < told <= _DELIVER_MOST:
        raise refuse("delivery.deliverBy was refused", fix="a span of up to 30 days: 2h, 1d")
    return told


def delivery(wish: Any) -> dict[str, Any]:
    """Return a delivery wish with every value checked and spelled as stored (§10.1)."""
    given = object_of(wish, "delivery")
    _known(given, _DELIVERY, "delivery")
    mode = given.get("mode")
    if mode is not None and mode not in ("none", "announce", "webhook"):
        raise refuse(f"delivery.mode {mode!r} was refused", fix="use none, announce or webhook")
    for key in CHAT_KEYS & given.keys():
        given[key] = text_or_none(given[key], f"delivery.{key}")
    if not isinstance(given.get("bestEffort") or False, bool):
        raise refuse("delivery.bestEffort must be true or false")
    if given.get("deliverBy") is not None:
        given["deliverBy"] = _deliver_by(given["deliverBy"])
    if mode != "webhook":
        _addressed(given, "delivery")
    for key in ("failureDestination", "completionDestination"):
        if given.get(key) is not None:
            given[key] = _place(given[key], f"delivery.{key}")
    if given.get("also") is not None:
        places = given["also"]
        places = places if isinstance(places, list | tuple) else [places]
        if len(places) > _ALSO_MOST:
            raise refuse(
                "delivery.also was refused",
                why=f"{len(places)} places; {_ALSO_MOST} at most",
                fix="name fewer",
            )
        given["also"] = [_place(place, "delivery.also") for place in places]
    return given


def _place(wish: Any, what: str) -> dict[str, Any]:
    """Return one more place for words, in the shape of a delivery of its own."""
    given = short_delivery(wish) if isinstance(wish, str) else object_of(wish, what)
    _known(given, CHAT_KEYS | {"mode"}, what)
    return {"mode": "announce", **place(given, what)}


def place(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a chat or a webhook with every value checked; it is announced unless it says else."""
    made = dict(given)
    mode = made.get("mode", "announce")
    if mode not in ("announce", "webhook"):
        raise refuse(f"{what}.mode {mode!r} was refused", fix="use announce or webhook")
    for key in CHAT_KEYS & made.keys():
        made[key] = text_or_none(made[key], f"{what}.{key}")
    if mode == "webhook":
        _url(made.get("to"), what)
    else:
        _addressed(made, what)
    return {key: value for key, value in made.items() if value is not None}


def unmixed(given: Mapping[str, Any]) -> None:
    """Refuse a webhook that also names a chat."""
    if any(given.get(key) is not None for key in ("channel", "accountId", "threadId")):
        raise refuse("--webhook cannot be combined with chat delivery options")


def _addressed(given: dict[str, Any], what: str) -> None:
    """Split `telegram:123`; refuse what contradicts itself or no platform knows (§10.2)."""
    to, channel = given.get("to"), given.get("channel")
    prefix, colon, rest = (to or "").partition(":")
    if colon and prefix.lower() in _PREFIXES:
        if channel not in (None, "last", prefix.lower()):
            raise refuse(
                f"{what}.to {to!r} contradicts {what}.channel {channel!r}",
                fix="name the channel once",
            )
        channel, to = prefix.lower(), rest
        given |= {"channel": channel, "to": to}
    telegram = channel in (None, "last", "telegram")
    if telegram and to and "/" in to and to.startswith("-100"):
        raise refuse(f"Use colon (:) for Telegram topics, not a slash: {to}", fix=f"use {_TOPICS}")
    thread = given.get("threadId")
    if telegram and thread is not None and not (thread.isdecimal() and int(thread) > 0):
        raise refuse(f"thread id {thread!r} must be a positive integer")


def _known(given: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise unknown_key(key, what, known)


def _number(value: Any, what: str, *, least: float = 0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise refuse(f"{what} must be a number of at least {least:g}", why=f"got {value!r}")
    if value > 10**12:
        raise refuse(f"{what} is too large", why=f"got {value!r}")
    return value


def _texts(value: Any, what: str) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise refuse(f"{what} must be a list of texts", why=f"got {value!r}")
