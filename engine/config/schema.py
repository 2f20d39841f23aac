"""The config file as one strict tree: every key we give a meaning, with its default.

Spelling is the reference product's, camelCase in the file, snake_case here. Keys it knows
and we do not use are taken out before this tree is built (`engine.config.load`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from engine.config.base import (
    Bytes,
    Count,
    Names,
    Open,
    Port,
    Positive,
    Retention,
    Secret,
    Section,
    Span,
    Text,
    Texts,
    key,
    section,
    table,
)
from engine.config.schema_agents import (
    ActiveHours,
    Agent,
    AgentDefaults,
    Agents,
    AgentTools,
    BackoffKeys,
    Budget,
    CliBackend,
    GroupChat,
    Heartbeat,
    Identity,
    ModelChoice,
    ModelEntry,
    OnFailure,
    TypingMode,
)
from engine.config.schema_channels import (
    AccountKeys,
    Apprise,
    AppriseAccount,
    ChannelDefaults,
    Channels,
    Group,
    Local,
    QqAccount,
    Qqbot,
    Telegram,
    TelegramAccount,
    Topic,
    Visibility,
    Webhook,
    WebhookAccount,
)

# --- cron (cron.md §12) ------------------------------------------------------------------

Transient = Literal["rate_limit", "overloaded", "network", "timeout", "server_error"]
DeliveryMode = Literal["announce", "webhook"]


class CronRetry(Section):
    """Retries of one-shot jobs."""

    max_attempts: Count = key(3, "Retries after a transient error.")
    backoff_ms: tuple[Count, ...] = key(
        (30_000, 60_000, 300_000), "Delay before each retry; the last one repeats.", unit="ms"
    )
    retry_on: tuple[Transient, ...] | None = key(
        None, "Classes of errors that are retried; all transient ones when unset."
    )


class FailureAlert(Section):
    """When a failing job is reported, and where."""

    enabled: bool = key(False, "Report failing jobs.")
    after: Positive = key(2, "Failures in a row before the report.")
    cooldown_ms: Count = key(3_600_000, "Shortest time between two reports.", unit="ms")
    include_skipped: bool = key(False, "Count skipped runs as well.")
    mode: DeliveryMode | None = key(None, "How it is delivered; announce when unset.")
    channel: str | None = key(None, "Channel of the report.")
    to: Text | None = key(None, "Recipient of the report.")
    account_id: str | None = key(None, "Account that sends it.")


class FailureDestination(Section):
    """Where failures of jobs go that name no place themselves."""

    mode: DeliveryMode | None = key(None, "How it is delivered; announce when unset.")
    channel: str | None = key(None, "Channel.")
    to: Text | None = key(None, "Recipient.")
    account_id: str | None = key(None, "Account that sends it.")


class RunLog(Section):
    """How much of the run history is kept."""

    max_bytes: Bytes = key(2_000_000, "Largest history of one job.", unit="bytes")
    keep_lines: Positive = key(2000, "Runs kept per job.")


class SsrfPolicy(Section):
    """Which addresses webhooks may reach."""

    allowed_hostnames: Names = key((), "Hosts that may be reached even when private.")
    blocked_hostnames: Names = key((), "Hosts that are never reached.")
    dangerously_allow_private_network: bool = key(False, "Any private address may be reached.")


class MisfireKeys(Section):
    """What happens to slots that passed while nobody served them."""

    policy: Literal["run-once", "skip", "run-all"] = key("run-once", "Which missed slots run.")
    grace: Span | None = key(None, "Slots missed by more are not run; 1h when unset.")
    max_catch_up: Positive = key(10, "Most slots made up by `run-all`.")


Overlap = Literal[
    "skip", "buffer-one", "buffer-all", "cancel-running", "terminate-running", "allow"
]


class Cron(Section):
    """Scheduled jobs."""

    enabled: bool = key(True, "False: jobs are kept, none fires; heartbeats do.")
    tz: str | None = key(None, "IANA zone of jobs that name none; the host's when unset.")
    max_concurrent_runs: Positive = key(4, "Jobs running at once.")
    retry: CronRetry = section(CronRetry, "Retries.")
    failure_alert: FailureAlert | None = key(None, "Reports of failing jobs.")
    failure_destination: FailureDestination | None = key(None, "Where failures go.")
    session_retention: Retention = key(
        timedelta(hours=24), "How long sessions of runs are kept; false = always.", unit="h"
    )
    run_log: RunLog = section(RunLog, "Run history.")
    webhook: str | None = key(None, "Deprecated: URL told about finished runs.")
    webhook_token: Secret | None = key(None, "Bearer token and signing secret of job webhooks.")
    webhook_ssrf_policy: SsrfPolicy = section(SsrfPolicy, "Addresses webhooks may reach.")
    misfire: MisfireKeys = section(MisfireKeys, "Missed slots.")
    overlap: Overlap = key("skip", "What happens when the previous run still goes on.")
    calendars: dict[str, Any] = table("Named sets of dates to include or exclude.")
    budget: Budget | None = key(None, "Limits per day of all jobs together.")
    auto_disable_after: Count = key(10, "Failures in a row that switch a job off; 0 = never.")
    min_refire_gap_ms: Count = key(2000, "Shortest time between two runs of a job.", unit="ms")
    allow_agent_commands: bool = key(False, "Agents may schedule commands.")
    jobs: dict[str, Open] = table("Jobs declared here, by key (cron.md §13).")
    jobs_dir: str | None = key(None, "Directory with one job per file; the file's stem is the key.")
    config_removal: Literal["disable", "delete"] = key(
        "disable", "What happens to a job whose entry is taken out."
    )
    orphan_retention: Span = key(timedelta(days=30), "When a disabled orphan is deleted.")


# --- gateway (operations.md §§4, 6; protocol.md §4) ----------------------------------------


class RateLimit(Section):
    """Failed logins."""

    max_attempts: Positive = key(10, "Failures before the lockout.")
    window_ms: Positive = key(60_000, "Window they are counted in.", unit="ms")
    lockout_ms: Positive = key(300_000, "How long the lockout lasts.", unit="ms")
    exempt_loopback: bool = key(True, "Loopback is never locked out.")


class TrustedProxy(Section):
    """Identity comes from a reverse proxy."""

    user_header: str | None = key(None, "Header that names the user.")
    required_headers: Names = key((), "Headers that must be there.")
    allow_users: Names = key((), "Only these users; all when empty.")
    allow_loopback: bool = key(False, "The proxy may run on this host.")


class GatewayAuth(Section):
    """Who may connect."""

    mode: Literal["none", "token", "password", "trusted-proxy"] | None = key(
        None, "Inferred when unset: trustedProxy, password, else token."
    )
    token: Secret | None = key(None, "Shared token; <state>/gateway.token when unset.")
    password: Secret | None = key(None, "Shared password.")
    rate_limit: RateLimit = section(RateLimit, "Failed logins.")
    trusted_proxy: TrustedProxy | None = key(None, "Identity from a reverse proxy.")
    allow_tailscale: bool = key(False, "Accept identities of the tailnet.")


class Reload(Section):
    """What an edit of the file does to a running gateway."""

    mode: Literal["off", "hot", "restart", "hybrid"] = key(
        "hybrid", "off, hot (apply what can be), restart (always), hybrid (whichever it needs)."
    )
    debounce_ms: Count = key(300, "Quiet time after the last change.", unit="ms")


class Remote(Section):
    """The gateway the command line talks to when `mode` is remote."""

    url: str | None = key(None, "WebSocket address.")
    token: Secret | None = key(None, "Its token.")
    password: Secret | None = key(None, "Its password.")
    transport: Literal["direct", "ssh"] = key("direct", "How it is reached.")
    remote_port: Port | None = key(None, "Port of the gateway on the far host.")
    ssh_target: str | None = key(None, "user@host of the tunnel.")
    ssh_identity: str | None = key(None, "Key file of the tunnel.")
    tls_fingerprint: str | None = key(None, "SHA-256 of its certificate.")


class Switch(Section):
    """Something that is on or off."""

    enabled: bool = key(False, "On or off.")


class Endpoints(Section):
    """Optional HTTP routes."""

    chat_completions: Switch = section(Switch, "POST /v1/chat/completions and /v1/embeddings.")
    responses: Switch = section(Switch, "POST /v1/responses.")


class SecurityHeaders(Section):
    """Headers of HTTP answers."""

    strict_transport_security: str | Literal[False] = key(False, "Value of the HSTS header.")


class Http(Section):
    """HTTP on the gateway's port."""

    endpoints: Endpoints = section(Endpoints, "Optional routes.")
    security_headers: SecurityHeaders = section(SecurityHeaders, "Headers of answers.")


class ControlUi(Section):
    """The status page."""

    enabled: bool = key(True, "Serve the status page.")
    allowed_origins: Names = key((), "Browser origins allowed besides the gateway's own.")


class WriteLimit(Section):
    """Config writes over RPC."""

    max: Positive = key(3, "Writes per window, method and client.")
    window_ms: Positive = key(60_000, "Length of the window.", unit="ms")


class ControlPlane(Section):
    """Methods that change the gateway."""

    write_limit: WriteLimit = section(WriteLimit, "Config writes over RPC.")


class ConfigRecovery(Section):
    """What is done about an invalid file (operations.md §4.2)."""

    on_start: Literal["restore", "refuse"] = key("restore", "At start.")
    on_reload: Literal["restore", "keep"] = key("restore", "While running.")


class Tailscale(Section):
    """Publishing through tailscale."""

    mode: Literal["off", "serve", "funnel"] = key("off", "off, serve or funnel.")
    reset_on_exit: bool = key(False, "Undo it when the gateway stops.")


class GatewayNodes(Section):
    """Commands of remote nodes."""

    allow_commands: Names = key((), "Commands allowed besides the safe ones.")
    deny_commands: Names = key((), "Commands refused.")


class Gateway(Section):
    """The one port."""

    mode: Literal["local", "remote"] | None = key(
        None, "`local` runs here; the gateway does not start while it is unset."
    )
    port: Port | None = key(None, "TCP port; 18789 when unset (19001 with --dev).")
    bind: Literal["loopback", "lan", "tailnet", "custom", "auto"] = key(
        "loopback", "Addresses listened on."
    )
    custom_bind_host: str | None = key(None, "Address of `bind: custom`.")
    auth: GatewayAuth = section(GatewayAuth, "Who may connect.")
    trusted_proxies: Names = key((), "Addresses whose forwarded headers are believed.")
    allow_real_ip_fallback: bool = key(False, "Believe X-Real-IP when X-Forwarded-For is missing.")
    reload: Reload = section(Reload, "Edits of the file.")
    remote: Remote = section(Remote, "The gateway of `mode: remote`.")
    http: Http = section(Http, "HTTP.")
    control_ui: ControlUi = section(ControlUi, "The status page.")
    handshake_timeout_ms: Positive | None = key(
        None, "Limit of the handshake; 10000 when unset.", unit="ms"
    )
    drain_timeout_ms: Count = key(25_000, "How long a stop waits for running turns.", unit="ms")
    config_recovery: ConfigRecovery = section(ConfigRecovery, "Invalid files.")
    control_plane: ControlPlane = section(ControlPlane, "Methods that change the gateway.")
    tailscale: Tailscale = section(Tailscale, "Tailscale.")
    nodes: GatewayNodes = section(GatewayNodes, "Remote nodes.")
    channel_health_check_minutes: Count = key(
        5, "How often channels are checked; 0 = never.", unit="min"
    )
    channel_stale_event_threshold_minutes: Positive = key(
        30, "A connected channel that is silent this long is restarted.", unit="min"
    )
    channel_max_restarts_per_hour: Count = key(10, "Most restarts of one account in an hour.")


# --- models ------------------------------------------------------------------------------


class ModelCost(Section):
    """Prices, US dollars per million tokens."""

    input: float = key(0, "Input tokens.")
    output: float = key(0, "Output tokens.")
    cache_read: float = key(0, "Tokens read from the cache.")
    cache_write: float = key(0, "Tokens written to the cache.")


class ModelSpec(Section):
    """One model of a provider."""

    id: str = key(..., "Id the provider knows.")
    name: str | None = key(None, "Name shown to people.")
    api: str | None = key(None, "Overrides the provider's api.")
    base_url: str | None = key(None, "Overrides the provider's baseUrl.")
    reasoning: bool = key(False, "It thinks before it answers.")
    input: Names = key(("text",), "Kinds of input it takes.")
    cost: ModelCost | None = key(None, "Prices.")
    context_window: Positive | None = key(None, "Context window.", unit="tokens")
    max_tokens: Positive | None = key(None, "Longest answer.", unit="tokens")
    headers: dict[str, str] = table("HTTP headers.")
    params: Open = table("Request parameters passed through.")


class Provider(Section):
    """One model provider; `offline` takes a script instead of an address."""

    base_url: str | None = key(None, "Address, with its /v1.")
    api_key: Secret | None = key(None, "API key.")
    api: str = key(
        "openai-completions", "openai-completions, openai-responses or anthropic-messages."
    )
    auth: Literal["api-key", "aws-sdk", "oauth", "token"] | None = key(None, "Kind of credential.")
    headers: dict[str, Secret] = table("HTTP headers.")
    models: tuple[ModelSpec, ...] = key((), "Models it offers.")
    params: Open = table("Request parameters passed through.")
    timeout_seconds: Positive | None = key(None, "Limit of one request.", unit="s")
    max_tokens: Positive | None = key(None, "Longest answer of its models.", unit="tokens")
    context_window: Positive | None = key(None, "Context window of its models.", unit="tokens")
    require_finish_reason: bool = key(
        True, "A cut stream is an error (openai-completions without it passes for complete)."
    )
    script: str | None = key(None, "`offline` only: file of scripted answers.")


class Models(Section):
    """Where answers come from."""

    mode: Literal["merge", "replace"] = key("merge", "Providers here add to or replace the known.")
    providers: dict[str, Provider] = table("Providers by id; a model is `<provider>/<model id>`.")


# --- the smaller sections ----------------------------------------------------------------


class Store(Section):
    """The state database."""

    url: Secret | None = key(None, "SQLAlchemy URL; <state>/state.db when unset.")


class Session(Section):
    """Conversations."""

    scope: Literal["per-sender", "global"] = key("per-sender", "One conversation each, or one.")
    main_key: str = key("main", "Name of an agent's main session.")
    dm_scope: Literal["main", "per-peer", "per-channel-peer", "per-account-channel-peer"] = key(
        "main", "Which direct chats share a session."
    )
    typing_mode: TypingMode | None = key(None, "When a typing indicator is shown.")
    typing_interval_seconds: Positive | None = key(None, "How often typing is repeated.", unit="s")


class BindingPeer(Section):
    """One chat."""

    kind: Literal["direct", "dm", "group", "channel"] = key(..., "Kind of chat.")
    id: Text = key(..., "Its id on the channel.")


class BindingMatch(Section):
    """What a binding fits; all fields given must match."""

    channel: str = key(..., "Channel id.")
    account_id: str | None = key(None, "Account; the default account when unset, `*` is any.")
    peer: BindingPeer | None = key(None, "One chat.")


class Binding(Section):
    """Sends what arrives somewhere to one agent."""

    agent_id: str = key(..., "The agent.")
    match: BindingMatch = key(..., "What it fits.")
    type: Literal["route", "acp"] = key("route", "Kind of binding.")
    comment: str | None = key(None, "For people.")


class Messages(Section):
    """Messages in general."""

    response_prefix: str | None = key(None, "Put before every message sent.")
    visible_replies: Literal["automatic", "message_tool"] | bool = key(
        "automatic", "`message_tool`: only what the agent sends itself is shown."
    )
    group_chat: GroupChat = section(GroupChat, "Groups.")
    suppress_tool_errors: bool = key(False, "Leave warnings of failed tools out of replies.")


class ExecTool(Section):
    """Commands run for an agent."""

    host: Literal["auto", "sandbox", "gateway", "node"] = key("auto", "Where they run.")
    security: Literal["deny", "allowlist", "full"] = key("deny", "What may run.")
    ask: Literal["off", "on-miss", "always"] = key("on-miss", "When a person is asked.")
    safe_bins: Names = key((), "Programs that may always run.")
    background_ms: Count = key(10_000, "After this a command goes to the background.", unit="ms")
    timeout_sec: Positive = key(1800, "Limit of one command.", unit="s")
    timeout_seconds: Positive | None = key(None, "Newer spelling of `timeoutSec`.", unit="s")
    path_prepend: Names = key((), "Directories put before PATH.")
    notify_on_exit: bool = key(True, "Wake the agent when a background command ends.")
    notify_on_exit_empty_success: bool = key(False, "Also when it succeeded and printed nothing.")


class FsTool(Section):
    """Files."""

    workspace_only: bool = key(True, "Agents reach only their workspace.")


class Tools(Section):
    """Which tools agents have."""

    profile: Literal["minimal", "coding", "messaging", "full"] | None = key(
        None, "Named set of tools; full when unset."
    )
    allow: Names | None = key(None, "Only these tools.")
    also_allow: Names = key((), "These besides the profile.")
    deny: Names = key((), "Never these tools.")
    exec: ExecTool = section(ExecTool, "Commands.")
    fs: FsTool = section(FsTool, "Files.")


class HookMatch(Section):
    """Which requests a mapping takes."""

    path: str | None = key(None, "Path below the hooks path.")
    source: str | None = key(None, "Value of `source` in the body.")


class HookMapping(Section):
    """Turns one kind of request into a wake or a turn."""

    id: str | None = key(None, "Name of the mapping.")
    match: HookMatch = section(HookMatch, "Which requests it takes.")
    action: Literal["wake", "agent"] = key("agent", "What it does.")
    name: str | None = key(None, "Name shown in the session.")
    agent_id: str | None = key(None, "Agent.")
    session_key: str | None = key(None, "Session.")
    wake_mode: Literal["now", "next-heartbeat"] = key("now", "When the agent is woken.")
    message_template: str | None = key(None, "Prompt of `agent`.")
    text_template: str | None = key(None, "Text of `wake`.")
    deliver: bool = key(True, "Deliver the answer.")
    channel: str | None = key(None, "Channel of the answer; last when unset.")
    to: Text | None = key(None, "Recipient of the answer.")
    model: str | None = key(None, "Model of the turn.")
    thinking: str | None = key(None, "How much the model thinks.")
    timeout_seconds: Positive | None = key(None, "Limit of the turn.", unit="s")
    allow_unsafe_external_content: bool = key(False, "Do not fence the text off as untrusted.")


class Hooks(Section):
    """Requests from outside that wake an agent."""

    enabled: bool = key(False, "Serve the hooks path; needs a token.")
    token: Secret | None = key(None, "Bearer token; must differ from the gateway's.")
    path: str = key("/hooks", "Path of the hooks; `/` is refused.")
    default_session_key: str | None = key(None, "Session of requests that name none.")
    allow_request_session_key: bool = key(False, "Requests may name a session.")
    allowed_session_key_prefixes: Names | None = key(None, "Sessions requests may name.")
    allowed_agent_ids: Names | None = key(None, "Agents requests may name; all when unset.")
    max_body_bytes: Positive = key(262_144, "Largest body.", unit="bytes")
    mappings: tuple[HookMapping, ...] = key((), "Further paths.")


class Logging(Section):
    """Logs."""

    level: Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"] = key(
        "info", "What goes to the file."
    )
    console_level: Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"] = key(
        "info", "What goes to the console."
    )
    console_style: Literal["pretty", "compact", "json"] = key("pretty", "How the console looks.")
    file: str | None = key(None, "File; <state>/logs/engine-YYYY-MM-DD.log when unset.")
    max_file_bytes: Positive = key(104_857_600, "Size that starts a new file.", unit="bytes")
    retention_days: Positive = key(14, "Days files are kept.", unit="d")
    redact_sensitive: Literal["off", "tools"] = key("tools", "Hide what looks like a secret.")
    redact_patterns: Names | None = key(None, "Replaces the built-in patterns.")


class SecretProvider(Section):
    """One place secrets are kept."""

    source: Literal["env", "file", "exec"] = key(..., "env, file or exec.")
    allowlist: Names | None = key(None, "env: names that may be read.")
    path: str | None = key(None, "file: the file.")
    mode: Literal["json", "singleValue"] = key("json", "file: JSON pointer, or the whole file.")
    max_bytes: Positive = key(1_048_576, "file: largest file.", unit="bytes")
    timeout_ms: Positive = key(5000, "Limit of one request.", unit="ms")
    allow_insecure_path: bool = key(False, "Accept a path that others may write.")
    command: str | None = key(None, "exec: absolute path of the program.")
    args: Names = key((), "exec: arguments.")
    env: dict[str, str] = table("exec: environment.")
    pass_env: Names = key((), "exec: variables passed on.")
    no_output_timeout_ms: Positive | None = key(None, "exec: limit of silence.", unit="ms")
    max_output_bytes: Positive = key(1_048_576, "exec: largest answer.", unit="bytes")
    json_only: bool = key(True, "exec: the answer is JSON; false: the text is the secret.")
    trusted_dirs: Names = key((), "exec: directories the program may lie in.")
    allow_symlink_command: bool = key(False, "exec: the program may be a symlink.")


class SecretDefaults(Section):
    """Provider of references that name none."""

    env: str | None = key(None, "Provider of env references.")
    file: str | None = key(None, "Provider of file references.")
    exec: str | None = key(None, "Provider of exec references.")


class SecretResolution(Section):
    """Limits of resolution."""

    max_provider_concurrency: Positive = key(4, "Providers asked at once.")
    max_refs_per_provider: Positive = key(512, "References per provider.")
    max_batch_bytes: Positive = key(262_144, "Largest request.", unit="bytes")


class Secrets(Section):
    """Where secrets are kept."""

    providers: dict[str, SecretProvider] = table("Places by alias.")
    defaults: SecretDefaults = section(SecretDefaults, "Provider when a reference names none.")
    resolution: SecretResolution = section(SecretResolution, "Limits.")


class Commands(Section):
    """Commands in chats and signals."""

    owner_allow_from: Texts = key((), "People who may give owner commands; `*` is not one.")
    restart: bool = key(False, "SIGUSR1 and /restart may restart the gateway.")


class Plugins(Section):
    """Channels and agents from other packages."""

    enabled: bool = key(True, "Load plugins.")
    allow: Names = key((), "Only these plugins.")
    deny: Names = key((), "Never these plugins.")


class ShellEnv(Section):
    """Import from the login shell."""

    enabled: bool = key(False, "Ask the login shell for missing keys.")
    timeout_ms: Positive = key(15_000, "Limit of the shell.", unit="ms")


class Env(Section):
    """Environment variables for `${NAME}` and providers; nothing overrides an existing one."""

    vars: dict[str, str] = table("Variables.")
    shell_env: ShellEnv = section(ShellEnv, "Import from the login shell.")

    @model_validator(mode="before")
    @classmethod
    def _loose_names(cls, value: Any) -> Any:
        """`env.KEY` is short for `env.vars.KEY`."""
        if not isinstance(value, dict):
            return value
        loose = {k: v for k, v in value.items() if k not in ("vars", "shellEnv")}
        if not loose:
            return value
        kept = {k: v for k, v in value.items() if k not in loose}
        given = kept.get("vars")
        return {**kept, "vars": {**loose, **(given if isinstance(given, dict) else {})}}


class Mdns(Section):
    """Announcement on the local network."""

    mode: Literal["off", "minimal", "full"] = key("off", "off, minimal or full.")


class Discovery(Section):
    """Being found."""

    mdns: Mdns = section(Mdns, "Announcement on the local network.")
    wide_area: Switch = section(Switch, "Wide-area DNS-SD.")


class Meta(Section):
    """Stamp of the last write; ours to set."""

    last_touched_version: str | None = key(None, "Version that wrote the file last.")
    last_touched_at: str | None = key(None, "When it did.")


class Config(Section):
    """The whole file."""

    schema_: str | None = Field(None, alias="$schema", description="For editors; no effect.")
    meta: Meta = section(Meta, "Stamp of the last write.")
    env: Env = section(Env, "Environment variables.")
    agents: Agents = section(Agents, "Agents.")
    bindings: tuple[Binding, ...] = key((), "Which agent gets what arrives where.")
    channels: Channels = section(Channels, "Chat channels.")
    commands: Commands = section(Commands, "Commands in chats and signals.")
    cron: Cron = section(Cron, "Scheduled jobs.")
    discovery: Discovery = section(Discovery, "Being found.")
    gateway: Gateway = section(Gateway, "The one port.")
    hooks: Hooks = section(Hooks, "Requests from outside.")
    logging: Logging = section(Logging, "Logs.")
    messages: Messages = section(Messages, "Messages in general.")
    models: Models = section(Models, "Where answers come from.")
    plugins: Plugins = section(Plugins, "Plugins.")
    secrets: Secrets = section(Secrets, "Where secrets are kept.")
    session: Session = section(Session, "Conversations.")
    store: Store = section(Store, "The state database.")
    tools: Tools = section(Tools, "Tools of agents.")


__all__ = [
    "AccountKeys",
    "ActiveHours",
    "Agent",
    "AgentDefaults",
    "AgentTools",
    "Agents",
    "Apprise",
    "AppriseAccount",
    "BackoffKeys",
    "Binding",
    "Budget",
    "ChannelDefaults",
    "Channels",
    "CliBackend",
    "Config",
    "Cron",
    "Gateway",
    "Group",
    "Heartbeat",
    "Hooks",
    "Identity",
    "Local",
    "ModelChoice",
    "ModelEntry",
    "OnFailure",
    "Provider",
    "QqAccount",
    "Qqbot",
    "Secret",
    "Section",
    "Telegram",
    "TelegramAccount",
    "Topic",
    "Visibility",
    "Webhook",
    "WebhookAccount",
]
