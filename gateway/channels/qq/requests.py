"""A message as QQ's REST interface wants it. Pure.

``POST /v2/users/{openid}/messages`` and ``/v2/groups/{openid}/messages`` with `msg_type` 0 text
or 2 markdown; `msg_id` with `msg_seq` makes it an answer. Guilds: ``/channels/{id}/messages`` and
``/dms/{guild}/messages``, which know no `msg_type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from engine.messages.contact import Reply
from gateway.channels.qq.account import DIRECT, GROUP, GUILD, GUILD_DIRECT

_PATHS: Final = {
    DIRECT: "/v2/users/{}/messages",
    GROUP: "/v2/groups/{}/messages",
    GUILD: "/channels/{}/messages",
    GUILD_DIRECT: "/dms/{}/messages",
}
_TEXT, _MARKDOWN, _MEDIA = 0, 2, 7


def message(
    to: str, text: str, *, reply: Reply | None, markdown: bool, recall: bool = False
) -> tuple[str, dict[str, Any]]:
    """Return path and body of one message."""
    kind, _, peer = to.partition(":")
    path = _PATHS[kind].format(quote(peer, safe=""))
    body: dict[str, Any] = {"markdown": {"content": text}} if markdown else {"content": text}
    if kind in (DIRECT, GROUP):
        body["msg_type"] = _MARKDOWN if markdown else _TEXT
    if reply is not None:
        body["msg_id"] = reply.message_id
        if kind in (DIRECT, GROUP):
            body["msg_seq"] = reply.seq
    if recall and kind == DIRECT:
        body["is_wakeup"] = True
    return path, body


def with_file(body: Mapping[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message's body that shows an uploaded file; its content may not be empty (§6)."""
    return {**body, "msg_type": _MEDIA, "media": dict(file), "content": body["content"] or " "}
