"""Keys under `gateway` and `discovery`: the one port (operations.md §§4, 6; protocol.md §4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from engine.config.schema.base import YET, Count, Names, Port, Positive, Section, key, section
from engine.config.secrets import Secret

# How people write a mode of `gateway.bind` (§6.1): refused with the mode, which the doctor writes.
BIND_ALIASES: Final[Mapping[str, str]] = {
    "0.0.0.0": "lan",  # noqa: S104 - a word that is looked up
    "::": "lan",
    "*": "lan",
    "all": "lan",
    "localhost": "loopback",
    "127.0.0.1": "loopback",
    "::1": "loopback",
}


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
    allow_tailscale: bool = key(False, "Accept identities of the tailnet.", inert=YET)


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
    transport: Literal["direct", "ssh"] = key("direct", "How it is reached.", inert=YET)
    remote_port: Port | None = key(None, "Port of the gateway on the far host.", inert=YET)
    ssh_target: str | None = key(None, "user@host of the tunnel.", inert=YET)
    ssh_identity: str | None = key(None, "Key file of the tunnel.", inert=YET)
    tls_fingerprint: str | None = key(None, "SHA-256 of its certificate.", inert=YET)


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


class NodePairing(Section):
    """Letting devices in."""

    auto_approve_local: bool = key(
        True, "A new device on this machine is let in without being asked about."
    )


class GatewayNodes(Section):
    """Remote nodes and other devices."""

    allow_commands: Names = key((), "Commands allowed besides the safe ones.", inert=YET)
    deny_commands: Names = key((), "Commands refused.", inert=YET)
    pairing: NodePairing = section(NodePairing, "Letting devices in.")


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
        None, "Limit of the handshake; 15000 when unset.", unit="ms"
    )
    drain_timeout_ms: Count = key(25_000, "How long a stop waits for running turns.", unit="ms")
    config_recovery: ConfigRecovery = section(ConfigRecovery, "Invalid files.")
    control_plane: ControlPlane = section(ControlPlane, "Methods that change the gateway.")
    tailscale: Tailscale = section(Tailscale, "Tailscale.", inert=YET)
    nodes: GatewayNodes = section(GatewayNodes, "Remote nodes.")
    channel_health_check_minutes: Count = key(
        5, "How often channels are checked; 0 = never.", unit="min"
    )
    channel_stale_event_threshold_minutes: Positive = key(
        30, "A connected channel that is silent this long is restarted.", unit="min"
    )
    channel_max_restarts_per_hour: Count = key(10, "Most restarts of one account in an hour.")


class Mdns(Section):
    """Announcement on the local network."""

    mode: Literal["off", "minimal", "full"] = key("off", "off, minimal or full.")


class Discovery(Section):
    """Being found."""

    mdns: Mdns = section(Mdns, "Announcement on the local network.")
    wide_area: Switch = section(Switch, "Wide-area DNS-SD.")
