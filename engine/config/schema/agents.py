"""Keys under `agents`: defaults, the list, heartbeat blocks, models (heartbeat.md §2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from engine.config.schema.base import (
    YET,
    Count,
    Days,
    Every,
    Names,
    Open,
    Port,
    Positive,
    Section,
    Span,
    Text,
    key,
    section,
    table,
)
from engine.config.schema.tools import ToolRules
from engine.config.secrets import Secret


class ActiveHours(Section):
    """A window of the day; `end` before `start` runs past midnight."""

    start: str | None = key(None, "First minute of the window, HH:MM, inclusive.")
    end: str | None = key(None, "End of the window, HH:MM, exclusive; 24:00 is allowed.")
    days: Days | None = key(
        None, "Weekdays on which it opens: `mon-fri` or [`sat`, `sun`]; every day when unset."
    )
    excepted: Days | None = key(
        None,
        "Days on which it does not open: dates, `2026-10-01/2026-10-07`, `12-25`, or"
        " `calendar:<name>` (those the calendar of cron.calendars excludes).",
        alias="except",
    )
    only: Days | None = key(
        None,
        "Days on which alone it opens, written as in `except`; `calendar:<name>` are those it"
        " allows, `!calendar:<name>` the others.",
    )
    every: Every | None = key(
        None, "Time between beats inside this window; heartbeat.every when unset.", unit="m"
    )
    timezone: str | None = key(
        None,
        "`user` (agents.defaults.userTimezone, else the host's zone), `local`, or an IANA name.",
    )
    dst: Literal["engine", "wall"] = key(
        "engine", "`wall` opens a window again when the clock is set back into it."
    )


def _form(value: Any) -> str:
    return "many" if isinstance(value, list | tuple) else "one"


Windows = Annotated[
    Annotated[ActiveHours, Tag("one")] | Annotated[tuple[ActiveHours, ...], Tag("many")],
    Discriminator(_form),
]


class ModelChoice(Section):
    """Which model answers, and which ones are asked when it fails."""

    primary: str | None = key(None, "`provider/model`, a CLI backend id, or `offline`.")
    fallbacks: Names | None = key(None, "Models asked in this order when the primary fails.")
    timeout_ms: Positive | None = key(None, "Limit of one model call.", unit="ms", inert=YET)


def _model(value: Any) -> Any:
    return {"primary": value} if isinstance(value, str) else value


Model = Annotated[ModelChoice, BeforeValidator(_model)]


class BackoffKeys(Section):
    """How failing beats are spaced out."""

    base: float = key(1, "First delay, in intervals of the heartbeat.", gt=0)
    factor: float = key(2, "What each further failure multiplies the delay by.", ge=1)
    max: Span | None = key(None, "Longest delay; 6h when unset.")
    pause_after: Count = key(8, "Failures in a row after which the beat is suspended; 0 = never.")


class Budget(Section):
    """What a day may cost."""

    tokens_per_day: Positive | None = key(None, "Tokens a day, input and output.")
    cost_per_day: float | None = key(None, "US dollars a day.", gt=0)
    runs_per_day: Positive | None = key(None, "Runs a day.")
    on_exceed: Literal["skip", "warn"] = key("skip", "What happens when the budget is spent.")
    fallback_model: str | None = key(None, "Cheaper model that answers when the budget is spent.")


class BeatBudget(Budget):
    """What the beats of one agent may cost in a day of its person."""

    warn_at_percent: Annotated[int, Field(ge=1, le=100)] = key(
        80, "Soft limit: this much of any limit is told once a day.", unit="%"
    )


class OnFailure(Section):
    """Whom to tell when beats keep failing."""

    after: Positive = key(3, "Failures in a row before the notice.")
    target: str | None = key(None, "Where the notice goes: a target such as `telegram:123`.")


class DigestKeys(Section):
    """Alerts that can wait, in one message at chosen times."""

    at: Names = key(
        (), "Times of day, HH:MM, at which what was collected is sent; none: no digest."
    )
    urgent_during_quiet: bool = key(
        True, "Outside the active hours an alert of high priority is sent at once; false: it waits."
    )


class EscalateKeys(Section):
    """Somebody else, when nobody acknowledges an alert."""

    after: Span = key(..., "How long an acknowledgement is waited for.")
    target: str = key(..., "Who is told then: a target such as `telegram:123`.")
    priority: Literal["any", "high"] = key("any", "`high`: only alerts of high priority.")


class MailKeys(Section):
    """A mailbox whose unseen mail is counted, over IMAP; nothing in it is marked as seen."""

    host: str = key(..., "IMAP server, reached under cron.webhookSsrfPolicy.")
    port: Port | None = key(None, "Its port; 993 with `tls`, 143 otherwise.")
    user: str = key(..., "Name of the account.")
    password: Secret = key(..., "Its password.")
    mailbox: str = key("INBOX", "Folder that is counted.")
    security: Literal["tls", "starttls", "none"] = key(
        "tls", "How the way is kept from others; `none` only to this machine."
    )


class CheckKeys(Section):
    """A cheap look that decides whether the model is asked: one of command, url, file, mail."""

    name: str | None = key(None, "Name in the record; what it looks at when unset.")
    command: str | Names | None = key(
        None, "Program; what it prints is compared. Ending with 1 says that there is nothing."
    )
    url: str | None = key(None, "Address that is read, under cron.webhookSsrfPolicy.")
    file: str | None = key(None, "File, relative to the agent's workspace.")
    mail: MailKeys | None = key(None, "Mailbox; the number of unseen mails is compared.")
    timeout_seconds: Positive = key(30, "Limit of the look.", unit="s", le=600)
    on_failure: Literal["run", "skip"] = key(
        "run", "A look that fails lets the beat run (`run`), or counts as no change (`skip`)."
    )


class AdaptiveKeys(Section):
    """Polls that find nothing for long come more seldom."""

    max: Span = key(..., "Longest time between polls.")
    after: Positive = key(20, "Polls in a row that found nothing before they come more seldom.")


class Heartbeat(Section):
    """One heartbeat block. The agent's block lies over the defaults, key by key."""

    enabled: bool | None = key(None, "False switches this heartbeat off.")
    every: Every | None = key(
        None, "Time between beats; 30m when unset; 0m or `off` switches off.", unit="m"
    )
    active_hours: Windows | None = key(
        None, "Beats run only inside this window, or inside one of several."
    )
    dayparts: tuple[ActiveHours, ...] = key(
        (), "Hours in which beats come at an interval of their own (`every`)."
    )
    model: Model | None = key(None, "Model for beats; the agent's own when unset.")
    session: str | None = key(None, "Session the beat runs in; `main` when unset.")
    target: str | None = key(
        None, "Where alerts go: `none` (also when unset), `last`, `owner` or a channel id."
    )
    to: Text | None = key(None, "Recipient on the target channel, in the channel's syntax.")
    account_id: str | None = key(None, "Account of the target channel that sends.")
    direct_policy: Literal["allow", "block"] = key(
        "allow", "`block` keeps alerts out of direct chats."
    )
    prompt: str | None = key(None, "Replaces the built-in prompt; blank keeps it.")
    include_system_prompt_section: bool = key(
        True, "Tell the default agent about its heartbeat in normal chats as well."
    )
    include_reasoning: bool = key(False, "Also deliver the model's reasoning.")
    ack_max_chars: Count = key(
        300,
        "A reply with HEARTBEAT_OK and at most this much more is an acknowledgement.",
        unit="chars",
    )
    suppress_tool_error_warnings: bool = key(
        False, "Leave warnings of failed tools out of alerts.", inert=YET
    )
    timeout_seconds: Positive | None = key(
        None, "Limit of one beat; agents.defaults.timeoutSeconds, else min(every, 600).", unit="s"
    )
    light_context: bool = key(False, "Give the agent only HEARTBEAT.md of its workspace files.")
    isolated_session: bool = key(False, "Start every beat in a fresh session.")
    skip_when_busy: bool = key(False, "Also wait for sub-agents of the same agent.")
    phase: str = key("auto", "Offset of the beat inside its interval: `auto` or HH:MM[:SS].")
    after_wake: Literal["keep-grid", "restart-interval"] = key(
        "keep-grid",
        "After a wake a slot closer than half an interval is left out (`recent-run`);"
        " `restart-interval`: one closer than a whole interval.",
    )
    catch_up: Literal["none", "one"] = key("one", "Whether one missed beat is made up at start.")
    dedupe_window: Span | None = key(None, "Same alert to the same place is sent once; 24h unset.")
    dedupe: Literal["text", "normalized", "off"] = key(
        "text", "How two alerts are compared; `normalized`: figures, times, links do not count."
    )
    backoff: BackoffKeys = section(BackoffKeys, "Spacing of beats after failures.")
    budget: BeatBudget | None = key(None, "Limits per day, in tokens, money or runs.")
    idle_pause_after: Span | None = key(
        None, "Pause when no person has written for this long; never when unset."
    )
    checks: tuple[CheckKeys, ...] = key(
        (), "Looks before a poll: the model is asked only if one of them saw a change."
    )
    adaptive: AdaptiveKeys | None = key(
        None, "Polls come more seldom while they find nothing; the same pace always when unset."
    )
    tools_allow: Names | None = key(None, "Only these tools in a beat; all when unset.")
    on_failure: OnFailure | None = key(None, "Notice when beats keep failing; after 3 if unset.")
    expect_within: Span | None = key(
        None, "Somebody is told when no slot has ended well for so long; longer than the night."
    )
    self_test: Every = key(
        timedelta(days=7),
        "How often the way of alerts is tried without a message; 0 or `off`: never.",
        unit="m",
    )
    ping: Secret | None = key(
        None,
        "URL that gets a POST for each slot that ended well, and URL/fail for one that failed:"
        " a dead man's switch outside, such as healthchecks.",
    )
    digest: DigestKeys | None = key(None, "Alerts that can wait, collected.")
    escalate: EscalateKeys | None = key(None, "Who is told when nobody acknowledges an alert.")
    run_without_route: bool = key(
        False, "Ask the agent also when its alert could go nowhere: its work is what it does."
    )
    max_deferral: Span | None = key(
        None, "Longest wait for a busy agent before the beat is skipped."
    )
    agent_id: str | None = key(
        None, "Agent that owns the ambient heartbeat (defaults only).", inert=YET
    )
    agents: Literal["explicit", "all"] = key(
        "explicit",
        "`all`: an agent with a block of its own does not silence the others (defaults only).",
    )


class CliBackend(Section):
    """A command that answers turns: prompt on stdin, words on stdout."""

    command: str = key(..., "Program, a name on PATH or an absolute path.")
    args: Names = key((), "Arguments.")
    env: dict[str, str] = table("Environment variables added for the command.")
    clear_env: Names = key((), "Environment variables taken away.")
    input: Literal["stdin", "arg"] = key("stdin", "How the prompt is handed over.")
    output: Literal["text", "json", "jsonl"] = key("text", "How the answer is read.")
    model_arg: str | None = key(None, "Option that takes the model name, such as `--model`.")
    model_aliases: dict[str, str] = table("The command's own names of models, by ours.")
    system_prompt_arg: str | None = key(
        None, "Option that takes the system prompt; unset: it stands before the prompt."
    )
    system_prompt_when: Literal["first", "always", "never"] = key(
        "always", "Whether it is told again in a conversation that goes on, or not at all."
    )
    session_arg: str | None = key(None, "Option that takes the id of a conversation.")
    session_args: Names = key((), "The same, written out: `--session {sessionId}`.")
    session_mode: Literal["always", "existing", "none"] = key(
        "none",
        "`always`: a conversation that begins gets an id of ours; `existing`: its own is used.",
    )
    session_id_fields: Names = key(("session_id",), "Where its answer tells the id.")
    resume_args: Names = key((), "Arguments of a conversation that goes on, with `{sessionId}`.")
    resume_output: Literal["text", "json", "jsonl"] | None = key(
        None, "How the answer is read then; as `output` when unset."
    )
    max_prompt_arg_chars: Positive | None = key(
        None, "A longer prompt goes to stdin although `input` is arg.", unit="chars"
    )
    serialize: bool = key(True, "One call at a time.")
    timeout_seconds: Positive | None = key(None, "Limit of one call.", unit="s")
    timeout_sec: Positive | None = key(None, "Older spelling of `timeoutSeconds`.", unit="s")
    no_output_timeout_sec: Positive | None = key(
        None, "A command silent for this long is ended.", unit="s"
    )
    max_output_bytes: Positive = key(1_048_576, "Output beyond this ends the call.", unit="bytes")


class Sandbox(Section):
    """Where commands run apart from the host; there is no such place yet."""

    mode: Literal["off", "non-main", "all"] | None = key(
        None, "Anything but `off` makes `exec` refuse: nothing runs on the host instead."
    )


class ModelEntry(Section):
    """Settings of one model, by its `provider/model`."""

    alias: str | None = key(None, "Short name.")
    params: Open = table("Request parameters passed through to the provider.")


class GroupChat(Section):
    """When an agent feels addressed in a group."""

    mention_patterns: Names | None = key(None, "Regular expressions that count as a mention.")
    history_limit: Count | None = key(
        None, "Unmentioned messages kept as context; 50 when unset, 0 = none."
    )


class Identity(Section):
    """How an agent shows itself."""

    name: str | None = key(None, "Name.")
    emoji: str | None = key(None, "Emoji, told to clients.")
    theme: str | None = key(None, "Theme.", inert=YET)
    avatar: str | None = key(None, "Avatar, told to clients.")


Thinking = Literal["off", "minimal", "low", "medium", "high", "xhigh", "adaptive", "max", "ultra"]
TypingMode = Literal["instant", "message", "never", "thinking"]


class AgentDefaults(Section):
    """What holds for every agent that does not say otherwise."""

    workspace: str | None = key(None, "Workspace directory; <state>/workspace when unset.")
    user_timezone: str | None = key(None, "IANA zone of the person; the host's zone when unset.")
    envelope_timezone: str | None = key(
        None, "Zone of event timestamps: utc, local, user (also when unset) or an IANA name."
    )
    time_format: Literal["auto", "12", "24"] = key(
        "auto", "Clock shown to the agent, of 12 or 24 hours; `auto` is 24."
    )
    model: Model = section(ModelChoice, "Model of every agent; `offline` when none is set.")
    models: dict[str, ModelEntry] = table("Settings per model, by `provider/model`.")
    thinking_default: Thinking | None = key(None, "How much the model thinks.")
    max_concurrent: Positive = key(4, "Agent turns at once, in all.")
    timeout_seconds: Positive | None = key(
        None, "Limit of one agent turn; 600 when unset.", unit="s"
    )
    cli_backends: dict[str, CliBackend] = table("Commands that answer turns, by id.")
    sandbox: Sandbox = section(Sandbox, "Isolation of agents' commands.")
    typing_mode: TypingMode | None = key(
        None, "`never`: no typing indicator; `session.typingMode` wins."
    )
    typing_interval_seconds: Positive | None = key(
        None, "How often typing is repeated; `session.typingIntervalSeconds` wins.", unit="s"
    )
    heartbeat: Heartbeat | None = key(None, "Heartbeat of all agents, under their own blocks.")


class Agent(Section):
    """One agent."""

    id: str = key(..., "Id of the agent.", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    default: bool = key(False, "The agent that gets what no binding sends elsewhere.")
    name: str | None = key(None, "Name shown to people.")
    workspace: str | None = key(None, "Workspace directory of this agent.")
    user_timezone: str | None = key(None, "IANA zone of this agent's person.")
    model: Model | None = key(None, "Model of this agent.")
    thinking_default: Thinking | None = key(None, "How much the model thinks.")
    heartbeat: Heartbeat | None = key(None, "Heartbeat of this agent, over the defaults.")
    group_chat: GroupChat = section(GroupChat, "Groups.")
    identity: Identity | None = key(None, "How the agent shows itself.")
    tools: ToolRules = section(ToolRules, "Tools of this agent, of those all agents have.")
    sandbox: Sandbox = section(Sandbox, "Isolation of this agent's commands.")


class Agents(Section):
    """Agents and what they share."""

    defaults: AgentDefaults = section(AgentDefaults, "What holds for every agent.")
    list: tuple[Agent, ...] = Field((), description="The agents; an implicit `main` when empty.")
