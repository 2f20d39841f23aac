"""What QQ's events say. Pure; reading one never raises.

Fields: c2c ``{id, content, timestamp, author: {user_openid}}``, groups ``{group_openid,
author: {member_openid}}``, guilds ``{channel_id, guild_id, author: {id}}`` (the platform's event
pages; both kits of channels.md §14 read the same).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engine.messages.address import ChatType
from engine.messages.media import Media, MediaKind, kind_of, plain_name
from engine.messages.target import Peer
from gateway.channels.base import Inbound, Standing
from gateway.channels.foreign import clean, ident, items, mapping, whole
from gateway.channels.qq.account import DIRECT, GROUP, GUILD, GUILD_DIRECT
from gateway.channels.qq.interactions import PRESSED, pressed

# Event → kind of peer, and whether the event alone says that the bot was addressed.
_MESSAGES: Final[Mapping[str, tuple[str, bool]]] = {
    "C2C_MESSAGE_CREATE": (DIRECT, True),
    "GROUP_AT_MESSAGE_CREATE": (GROUP, True),
    "GROUP_MESSAGE_CREATE": (GROUP, False),
    "AT_MESSAGE_CREATE": (GUILD, True),
    "MESSAGE_CREATE": (GUILD, False),
    "DIRECT_MESSAGE_CREATE": (GUILD_DIRECT, True),
}
# Event → what it says about writing to a peer unasked.
_STANDINGS: Final[Mapping[str, tuple[str, Standing]]] = {
    "C2C_MSG_RECEIVE": (DIRECT, Standing.WELCOME),
    "C2C_MSG_REJECT": (DIRECT, Standing.UNWELCOME),
    "FRIEND_ADD": (DIRECT, Standing.WELCOME),
    "FRIEND_DEL": (DIRECT, Standing.GONE),
    "GROUP_MSG_RECEIVE": (GROUP, Standing.WELCOME),
    "GROUP_MSG_REJECT": (GROUP, Standing.UNWELCOME),
    "GROUP_ADD_ROBOT": (GROUP, Standing.WELCOME),
    "GROUP_DEL_ROBOT": (GROUP, Standing.GONE),
}
_PEER_FIELD: Final[Mapping[str, str]] = {
    GROUP: "group_openid",
    GUILD: "channel_id",
    GUILD_DIRECT: "guild_id",
}
_SENDER_FIELD: Final[Mapping[str, str]] = {DIRECT: "user_openid", GROUP: "member_openid"}
_CHAT: Final[Mapping[str, ChatType]] = {
    DIRECT: ChatType.DIRECT,
    GROUP: ChatType.GROUP,
    GUILD: ChatType.CHANNEL,
    GUILD_DIRECT: ChatType.DIRECT,
}
OLDEST: Final = timedelta(hours=1)
_LONGEST_URL: Final = 2000
_FACE = re.compile(r'<faceType=\d+,faceId="[^"]*",ext="([^"]*)">')
_MENTION = re.compile(r"<@!?([^<>\s]{1,200})>")


def parse(
    kind: str,
    data: Mapping[str, Any],
    *,
    event_id: str,
    account_id: str,
    me: str,
    now: datetime,
    cursor: str | None,
) -> Inbound | None:
    """Return what a person said, or did about us; or nothing. ``me``: the bot's id."""
    event_id = ident(event_id) or ""
    if kind in _STANDINGS:
        about = _standing(kind, data, event_id=event_id, account_id=account_id, now=now)
        return None if about is None else replace(about, cursor=cursor)
    if kind == PRESSED:
        return pressed(data, account_id=account_id, now=now, cursor=cursor)
    if kind not in _MESSAGES:
        return None
    place, addressed = _MESSAGES[kind]
    author = mapping(data.get("author"))
    sender = ident(author.get(_SENDER_FIELD.get(place, "id"))) or ident(author.get("id"))
    peer = sender if place == DIRECT else ident(data.get(_PEER_FIELD[place]))
    text = _said(data, me)
    if not sender or not peer or author.get("bot") is True or not text:
        return None
    chat = _CHAT[place]
    message_id = ident(data.get("id"))
    return Inbound(
        channel="qqbot",
        account_id=account_id,
        peer=Peer(to=f"{place}:{peer}", chat_type=chat),
        sender_id=sender,
        sender_label=clean(str(author.get("username") or "")) or None,
        message_id=message_id or event_id or f"seq:{cursor}",
        text=text,
        at=_instant(data.get("timestamp"), now),
        mentioned=addressed or _mentions(data, me),
        calls_others=_calls_others(data, me),
        chat_type=chat,
        cursor=cursor,
        answerable=message_id is not None,
        media=tuple(file for each in items(data.get("attachments")) if (file := _file(each))),
    )


def _standing(
    kind: str, data: Mapping[str, Any], *, event_id: str, account_id: str, now: datetime
) -> Inbound | None:
    place, standing = _STANDINGS[kind]
    who = ident(data.get("openid")) if place == DIRECT else ident(data.get("group_openid"))
    if not who:
        return None
    return Inbound(
        channel="qqbot",
        account_id=account_id,
        peer=Peer(to=f"{place}:{who}", chat_type=_CHAT[place]),
        sender_id=ident(data.get("op_member_openid")) or who,
        sender_label=None,
        message_id=event_id or f"{kind}:{ident(data.get('timestamp'))}",
        text="",
        at=now,
        chat_type=_CHAT[place],
        standing=standing,
    )


def _said(data: Mapping[str, Any], me: str) -> str:
    """What was said, without the mention that brought it here; of media alone, their kinds."""
    content = data.get("content")
    text = clean(content) if isinstance(content, str) else ""
    text = _MENTION.sub(lambda found: "" if found[1] == me else found[0], text)
    text = _FACE.sub(lambda found: _face(found[1]), text).strip()
    kinds = [_attached(mapping(each)) for each in items(data.get("attachments"))]
    return "\n".join(part for part in (text, *kinds) if part)


def _file(attachment: object) -> Media | None:
    """What came along, and where it is said to lie; a voice message rather as plain sound."""
    about = mapping(attachment)
    spoken = about.get("voice_wav_url")
    where = spoken or about.get("url")
    if not isinstance(where, str) or not where.strip() or len(where) > _LONGEST_URL:
        return None
    mime = clean(str(about.get("content_type") or ""))[:60].lower()
    kind = MediaKind.VOICE if mime == "voice" else kind_of(mime)
    name = plain_name(about.get("filename"), str(kind))
    address = where.strip() if "://" in where else f"https://{where.strip().lstrip('/')}"
    size = None if spoken else whole(about.get("size"))
    return Media(kind=kind, name=name, url=clean(address), size=size, mime=mime)


def _attached(attachment: Mapping[str, Any]) -> str:
    """An attachment by its kind; of a voice message also the words the platform heard."""
    kind = str(attachment.get("content_type") or "").partition("/")[0]
    words = attachment.get("asr_refer_text")
    heard = f" {clean(words)}" if isinstance(words, str) and words else ""
    return f"<media:{clean(kind)[:40]}>{heard}" if kind else ""


def _face(ext: str) -> str:
    """A face by its name."""
    try:
        named = json.loads(base64.b64decode(ext, validate=True))
    except (ValueError, RecursionError):
        return "[face]"
    name = mapping(named).get("text")
    return f"[{clean(name)[:40]}]" if isinstance(name, str) and name else "[face]"


def _mentions(data: Mapping[str, Any], me: str) -> bool:
    """Whether somebody addressed the bot in a message that is sent to it anyway."""
    for each in items(data.get("mentions")):
        mention = mapping(each)
        if mention.get("is_you") is True and mention.get("scope") != "all":
            return True
        if me and ident(mention.get("id")) == me:
            return True
    return False


def _calls_others(data: Mapping[str, Any], me: str) -> bool:
    """Whether somebody else is mentioned."""
    named = [mapping(each) for each in items(data.get("mentions"))]
    return any(one.get("is_you") is not True and ident(one.get("id")) != me for one in named)


def _instant(value: object, now: datetime) -> datetime:
    """When it was written. Events are minutes old at most: any other time is a wrong clock."""
    try:
        instant = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return now
    if instant.tzinfo is None:
        return now
    return instant.astimezone(UTC) if abs(now - instant) < OLDEST else now
