"""What the platform keeps and answers, without a wire: bots, tokens, sessions, messages."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from engine.clock import Clock
from engine.testing.qq.wrong import (
    DEDUPED,
    NO_PERMISSION_C2C,
    NO_PERMISSION_GROUP,
    NOT_FRIENDS,
    REPLIES_USED,
    REPLY_EXPIRED,
    REPLY_INVALID,
    TOKEN_UNKNOWN,
    UPLOAD_FAILED,
    Refusal,
)

TOKEN_LIFE: Final = timedelta(seconds=7200)
SAME_TOKEN_UNTIL: Final = timedelta(seconds=60)  # before its end the old one is handed out
LONGEST_TEXT: Final = 4000
GUILD: Final = "9001"  # the guild all channels are in
_WINDOWS: Final = {"c2c": (timedelta(minutes=60), 4), "group": (timedelta(minutes=5), 5)}
_GUILD_WINDOW: Final = (timedelta(minutes=5), 5)
_LINK = re.compile(r"https?://|www\.|\b[\w-]+\.(?:com|cn|org|net|io|dev)\b", re.IGNORECASE)
_BEIJING: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file a bot has uploaded for a peer."""

    peer: str
    file_type: int  # 1 image, 2 video, 3 voice, 4 file
    name: str
    content: bytes  # empty where ``url`` says what to fetch
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """One message that arrived at the platform."""

    message_id: str
    app_id: str
    peer: str  # c2c:OPENID, group:OPENID, channel:ID, dms:GUILD
    text: str
    markdown: bool
    msg_id: str | None  # the message it answers; None: nobody asked for it
    msg_seq: int | None
    body: Mapping[str, Any]
    file: SentFile | None = None  # ``text`` stands with it then


@dataclass(slots=True, eq=False)
class GatewaySession:
    """One session: what happened in it, by number."""

    session_id: str
    app_id: str
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Token:
    value: str
    expires_at: datetime


@dataclass(slots=True, eq=False)
class _Asked:
    """A message of a person that may be answered."""

    peer: str
    at: datetime
    seqs: set[int] = field(default_factory=set)


class Platform:
    """The bots it knows by app id, and what befell them."""

    def __init__(self, bots: Mapping[str, str], clock: Clock, *, links_allowed: bool) -> None:
        self.bots = dict(bots)
        self.sent: list[SentMessage] = []
        self.denied: set[tuple[str, str]] = set()  # (app id, peer): nothing unasked
        self.sessions: dict[str, GatewaySession] = {}
        self.links_allowed = links_allowed
        self._clock = clock
        self._tokens: dict[str, _Token] = {}
        self._asked: dict[tuple[str, str], _Asked] = {}  # (app id, message id)
        self._known: defaultdict[str, set[str]] = defaultdict(set)  # peer → app ids
        self._count = 0
        self.kept: dict[str, bytes] = {}  # what people sent, by the path it is fetched from
        self._recalled: set[tuple[str, str, datetime, timedelta]] = set()
        self.confirmed: list[tuple[str, int]] = []  # presses a bot said it has heard
        self._uploads: dict[str, SentFile] = {}  # by file_info

    # -- tokens ----------------------------------------------------------------------------

    def issue(self, app_id: str, secret: str) -> dict[str, Any]:
        """Return a token, the same one until its last minute."""
        if self.bots.get(app_id) != secret:
            raise Refusal(100016, status=200)
        now = self._clock.now()
        token = self._tokens.get(app_id)
        if token is None or token.expires_at - now <= SAME_TOKEN_UNTIL:
            token = _Token(f"token-{app_id}-{self._next()}", now + TOKEN_LIFE)
            self._tokens[app_id] = token
        left = int((token.expires_at - now).total_seconds())
        return {"access_token": token.value, "expires_in": str(left)}

    def revoke(self, app_id: str) -> None:
        """The token of a bot is not known any more, before its time."""
        self._tokens.pop(app_id, None)

    def bot_of(self, authorization: str) -> str:
        """Return whose token this is, or refuse."""
        scheme, _, value = authorization.partition(" ")
        now = self._clock.now()
        for app_id, token in self._tokens.items():
            if scheme == "QQBot" and token.value == value and now < token.expires_at:
                return app_id
        raise Refusal(TOKEN_UNKNOWN, status=401)

    def me(self, app_id: str) -> dict[str, Any]:
        """Return the bot itself."""
        return {"id": f"9{app_id}", "username": f"bot {app_id}", "bot": True}

    # -- what people write -----------------------------------------------------------------

    def asked(self, app_id: str, peer: str) -> tuple[str, str]:
        """Note a message of a person; returns its id and its time as the platform writes it."""
        message_id = f"ROBOT1.0_{self._next():06d}!!"
        self._asked[app_id, message_id] = _Asked(peer, self._clock.now())
        self._known[peer].add(app_id)
        return message_id, self._clock.now().astimezone(_BEIJING).isoformat(timespec="seconds")

    def event(self, app_id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Let something happen: it stands in every session of the bot."""
        ident = f"{kind}:{self._next()}"
        for session in self.sessions.values():
            if session.app_id == app_id:
                number = len(session.events) + 1
                frame = {"op": 0, "s": number, "t": kind, "id": ident, "d": dict(data)}
                session.events.append(frame)

    def begin(self, app_id: str) -> GatewaySession:
        """Begin a session; its first event says so."""
        session = GatewaySession(f"session-{self._next()}", app_id)
        self.sessions[session.session_id] = session
        ready = {
            "version": 1,
            "session_id": session.session_id,
            "user": self.me(app_id),
            "shard": [0, 1],
        }
        session.events.append({"op": 0, "s": 1, "t": "READY", "d": ready})
        return session

    # -- what bots send --------------------------------------------------------------------

    def upload(self, app_id: str, peer: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a file for a peer, or refuse it."""
        kind, url, data = body.get("file_type"), body.get("url"), body.get("file_data")
        if kind not in (1, 2, 3, 4) or not (url or data):
            raise Refusal(40034006, "请求参数错误")
        content = base64.b64decode(str(data), validate=True) if data else b""
        if kind == 1 and data and not content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
            raise Refusal(UPLOAD_FAILED)
        info = f"info-{app_id}-{self._next()}"
        name = str(body.get("file_name") or "")
        self._uploads[info] = SentFile(
            peer=peer, file_type=kind, name=name, content=content, url=url
        )
        return {"file_uuid": f"uuid-{info}", "file_info": info, "ttl": 3600}

    def _shown(self, peer: str, body: Mapping[str, Any]) -> SentFile | None:
        """Return the file a message shows."""
        if body.get("msg_type") != 7:
            return None
        media = body.get("media")
        file = (
            self._uploads.get(str(media.get("file_info"))) if isinstance(media, Mapping) else None
        )
        if file is None or file.peer != peer or not body.get("content"):
            raise Refusal(40034006)
        return file

    def take(self, app_id: str, peer: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take one message, or refuse it."""
        markdown = body.get("markdown")
        text = markdown.get("content") if isinstance(markdown, Mapping) else body.get("content")
        text = str(text or "")
        file = self._shown(peer, body)
        self._check_text(text if file is None else text.strip() or "file")
        msg_id = body.get("msg_id")
        seq = int(body.get("msg_seq") or 1)
        if msg_id:
            self._check_answer(app_id, peer, str(msg_id), seq)
        elif body.get("is_wakeup"):
            self._check_recall(app_id, peer)
        else:
            self._check_unasked(app_id, peer)
        message = SentMessage(
            message_id=f"ROBOT1.0_{self._next():06d}!!",
            app_id=app_id,
            peer=peer,
            text=text,
            markdown=isinstance(markdown, Mapping),
            msg_id=str(msg_id) if msg_id else None,
            msg_seq=seq if msg_id else None,
            body=dict(body),
            file=file,
        )
        self.sent.append(message)
        at = self._clock.now().astimezone(_BEIJING).isoformat(timespec="seconds")
        told = {"id": message.message_id, "timestamp": at}
        if not peer.startswith("channel:"):
            return told
        here = {"channel_id": peer.partition(":")[2], "guild_id": GUILD, "content": text}
        return told | here | {"author": self.me(app_id)}

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise Refusal(40034006)
        if len(text) > LONGEST_TEXT:
            raise Refusal(40054007)
        if not self.links_allowed and _LINK.search(text):
            raise Refusal(40054010)

    def _check_answer(self, app_id: str, peer: str, msg_id: str, seq: int) -> None:
        asked = self._asked.get((app_id, msg_id))
        if asked is None or asked.peer != peer:
            raise Refusal(REPLY_INVALID)
        window, replies = _WINDOWS.get(peer.partition(":")[0], _GUILD_WINDOW)
        if self._clock.now() - asked.at >= window:
            raise Refusal(REPLY_EXPIRED)
        if seq in asked.seqs and not peer.startswith(("channel:", "dms:")):
            raise Refusal(DEDUPED)
        if len(asked.seqs) >= replies:
            raise Refusal(REPLIES_USED)
        asked.seqs.add(seq if seq not in asked.seqs else max(asked.seqs) + 1)

    def _check_unasked(self, app_id: str, peer: str) -> None:
        """An id learnt through one bot means nobody to another."""
        known = self._known.get(peer, set())
        if known and app_id not in known:
            raise Refusal(NOT_FRIENDS)
        if (app_id, peer) in self.denied:
            raise Refusal(NO_PERMISSION_GROUP if peer.startswith("group") else NO_PERMISSION_C2C)

    def _check_recall(self, app_id: str, peer: str) -> None:
        """Once in each period after a contact, whatever else the peer takes."""
        said = [
            one.at for (bot, _), one in self._asked.items() if (bot, one.peer) == (app_id, peer)
        ]
        if not said or not peer.startswith("c2c:"):
            raise Refusal(NO_PERMISSION_C2C)
        last, now = max(said), self._clock.now()
        same_day = last.astimezone(_BEIJING).date() == now.astimezone(_BEIJING).date()
        ends = [timedelta(0)] if same_day else [timedelta(days=days) for days in (3, 7, 30)]
        period = next((end for end in ends if same_day or now - last < end), None)
        if period is None or (app_id, peer, last, period) in self._recalled:
            raise Refusal(NO_PERMISSION_C2C)
        self._recalled.add((app_id, peer, last, period))

    def texts(self, peer: str | None = None) -> Sequence[str]:
        """Return what was sent, to one peer or to all."""
        return [one.text for one in self.sent if peer in (None, one.peer)]

    def number(self) -> str:
        """Return an id nobody has yet."""
        return f"press-{self._next()}"

    def _next(self) -> int:
        self._count += 1
        return self._count
