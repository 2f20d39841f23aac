"""Keys under `session`, `bindings`, `messages` and `commands`: who talks with whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from engine.config.schema.agents import GroupChat, TypingMode
from engine.config.schema.base import (
    YET,
    Bytes,
    Count,
    Positive,
    Retention,
    Section,
    Text,
    Texts,
    key,
    section,
    table,
)


class Session(Section):
    """Conversations."""

    scope: Literal["per-sender", "global"] = key(
        "per-sender", "`global`: all agents share one main session, called `global`."
    )
    main_key: str = key("main", "Name of an agent's main session.")
    dm_scope: Literal["main", "per-peer", "per-channel-peer", "per-account-channel-peer"] = key(
        "main", "Which direct chats share a session."
    )
    typing_mode: TypingMode | None = key(
        None, "`never`: no typing indicator; else one while a turn runs."
    )
    typing_interval_seconds: Positive | None = key(
        None, "How often typing is repeated; 4.5 when unset.", unit="s"
    )


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
    type: Literal["route", "acp"] = key("route", "Kind of binding.", inert=YET)
    comment: str | None = key(None, "For people.")


class AccessGroup(Section):
    """People under one name; allow lists mean them as `accessGroup:<name>`."""

    type: Literal["message.senders", "discord.channelAudience"] = key(
        "message.senders", "Kind of group; of another kind than senders nobody is a member."
    )
    members: dict[str, Texts] = table("Senders by channel; `*` holds for all channels.")


class InboundKeys(Section):
    """What becomes of messages that follow each other quickly."""

    debounce_ms: Count = key(
        0, "Text messages of one person within this time are one; 0: each is its own.", unit="ms"
    )
    by_channel: dict[str, Count] = table("The same for one channel.")


class InboxKeys(Section):
    """What was said and reached nobody."""

    retention: Retention = key(
        timedelta(days=90),
        "How long words that reached nobody are kept; false: for ever. Muted ones stay.",
        unit="h",
    )


class MediaKeys(Section):
    """Files that came with messages, or went with one."""

    retention: Retention = key(
        timedelta(days=30), "How long they are kept; false: as long as there is room.", unit="h"
    )
    max_size: Bytes = key(1 << 30, "What they may take together; the oldest go first.")


class Messages(Section):
    """Messages in general."""

    response_prefix: str | None = key(None, "Put before every message sent.")
    visible_replies: Literal["automatic", "message_tool"] | bool = key(
        "automatic",
        "`message_tool` (or false): chats see only what the agent sends itself, and beats answer"
        " through `heartbeat_respond`.",
    )
    inbox: InboxKeys = section(InboxKeys, "What was said and reached nobody.")
    media: MediaKeys = section(MediaKeys, "Files that came with messages, or went with one.")
    inbound: InboundKeys = section(InboundKeys, "What people write.")
    group_chat: GroupChat = section(GroupChat, "Groups.")
    suppress_tool_errors: bool = key(
        False, "Leave warnings of failed tools out of replies.", inert=YET
    )


class Commands(Section):
    """Commands in chats and signals."""

    owner_allow_from: Texts = key((), "People who may give owner commands; `*` is not one.")
    restart: bool = key(False, "SIGUSR1 may restart the gateway, unasked.")
