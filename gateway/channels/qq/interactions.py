"""A button somebody pressed under a message, or in a bot's menu (`INTERACTION_CREATE`). Pure.

Fields: ``{id, scene: c2c | group | guild, user_openid | group_openid, group_member_openid |
channel_id, data: {resolved: {button_data, button_id, user_id, feature_id}}}`` (the platform's
page of the event). It has to be told that the press was heard, or the person sees it fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from engine.messages.address import ChatType
from engine.messages.target import Peer
from gateway.channels.base import Inbound
from gateway.channels.foreign import clean, ident, mapping
from gateway.channels.qq.account import DIRECT, GROUP, GUILD

PRESSED: Final = "INTERACTION_CREATE"
# Scene → kind of peer, where its id stands, where the person's does.
_SCENES: Final[Mapping[str, tuple[str, str, str]]] = {
    "c2c": (DIRECT, "user_openid", "user_openid"),
    "group": (GROUP, "group_openid", "group_member_openid"),
    "guild": (GUILD, "channel_id", ""),
}
_CHAT: Final = {DIRECT: ChatType.DIRECT, GROUP: ChatType.GROUP, GUILD: ChatType.CHANNEL}


def pressed(
    data: Mapping[str, Any], *, account_id: str, now: datetime, cursor: str | None
) -> Inbound | None:
    """Return a press as words, like any other platform's: ``callback_data: <v>`` (§5)."""
    number = ident(data.get("id"))
    resolved = mapping(mapping(data.get("data")).get("resolved"))
    kind, peer_field, person_field = _SCENES.get(str(data.get("scene")), ("", "", ""))
    peer = ident(data.get(peer_field))
    sender = ident(data.get(person_field)) or ident(resolved.get("user_id"))
    if not kind or not number or not peer or not sender:
        return None
    words = ("button_data", "button_id", "feature_id")
    value = next((one for name in words if (one := ident(resolved.get(name)))), "")
    return Inbound(
        channel="qqbot",
        account_id=account_id,
        peer=Peer(to=f"{kind}:{peer}", chat_type=_CHAT[kind]),
        sender_id=sender,
        sender_label=None,
        message_id=f"interaction:{number}",
        text=f"callback_data: {clean(value)}",
        at=now,
        mentioned=True,  # it is the bot's own button
        chat_type=_CHAT[kind],
        cursor=cursor,
    )


def heard(data: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return path and body of the word that a press was heard; None if it has no id."""
    number = ident(data.get("id"))
    return None if number is None else (f"/interactions/{number}", {"code": 0})
