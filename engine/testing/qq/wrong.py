"""The ways a request to QQ goes wrong, in the platform's own numbers and words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

DEDUPED: Final = 40054005
NO_PERMISSION_C2C: Final = 40034102
NO_PERMISSION_GROUP: Final = 40034105
NOT_FRIENDS: Final = 40054004
REPLY_INVALID: Final = 40034024
REPLY_EXPIRED: Final = 40034005
REPLIES_USED: Final = 40034025
QUOTA: Final = 22009
TOKEN_UNKNOWN: Final = 11244
UPLOAD_FAILED: Final = 850026
WORDS: Final = {
    UPLOAD_FAILED: "富媒体文件格式不支持",
    DEDUPED: "消息被去重，请检查请求msgseq",
    NO_PERMISSION_C2C: "主动消息失败, 无权限",
    NO_PERMISSION_GROUP: "主动消息失败, 无权限",
    NOT_FRIENDS: "不是好友关系",
    REPLY_INVALID: "请求参数msg_id无效或越权",
    REPLY_EXPIRED: "被动回复时间已过期",
    REPLIES_USED: "被动回复次数超过限制",
    QUOTA: "消息发送超频",
    TOKEN_UNKNOWN: "token not exist or expire",
    100016: "invalid appid or secret",
    40054007: "消息内容过长",
    40054010: "消息包含未报备的链接",
    40034006: "消息内容为空",
    304023: "push message is waiting for audit now",
}


class Refusal(Exception):
    """An answer with a code."""

    def __init__(self, code: int, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.status = status
        self.code = code
        words = message or WORDS.get(code, "request failed")
        self.body = {"message": words, "code": code, "err_code": code, "trace_id": "stand-in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One request that goes wrong. The named constructors are the usual ways."""

    status: int = 400
    code: int = 0
    message: str = ""
    raw: bytes | None = None  # an answer that is not the interface's JSON
    retry_after: str | None = None
    obeyed: bool = False  # the platform did it all the same
    dropped: bool = False  # the connection ends without an answer
    until: asyncio.Event | None = None  # the answer waits for this
    headers: Mapping[str, str] = field(default_factory=dict)  # of a file that is fetched
    claimed: int | None = None  # the length a file is said to have

    @classmethod
    def coded(cls, code: int, status: int = 400) -> Wrong:
        """Any refusal by its number."""
        return cls(code=code, status=status)

    @classmethod
    def bad_credentials(cls) -> Wrong:
        """The token is not issued; HTTP says 200 all the same."""
        return cls(code=100016, status=200)

    @classmethod
    def throttled(cls) -> Wrong:
        """Tokens were asked for too often."""
        return cls(code=100001, status=200)

    @classmethod
    def token_refused(cls) -> Wrong:
        """The access token is not known any more."""
        return cls(code=TOKEN_UNKNOWN, status=401)

    @classmethod
    def too_many(cls, retry_after: str | None = None) -> Wrong:
        """HTTP 429, with or without its wait."""
        return cls(status=429, code=40034100, retry_after=retry_after)

    @classmethod
    def no_permission(cls, *, group: bool = False) -> Wrong:
        """Nobody asked for this message, and nobody allowed it."""
        return cls(code=NO_PERMISSION_GROUP if group else NO_PERMISSION_C2C)

    @classmethod
    def quota(cls) -> Wrong:
        """The messages of the day are used up."""
        return cls(code=QUOTA)

    @classmethod
    def blocked(cls) -> Wrong:
        """The person has blocked the bot."""
        return cls(code=40054013)

    @classmethod
    def not_friends(cls) -> Wrong:
        """The person never was a friend of the bot, or is none any more."""
        return cls(code=NOT_FRIENDS)

    @classmethod
    def pending_audit(cls) -> Wrong:
        """Taken, and shown once somebody has looked at it."""
        return cls(code=304023, status=202)

    @classmethod
    def server_error(cls, status: int = 500) -> Wrong:
        """The platform's own trouble."""
        return cls(status=status, code=50055001)

    @classmethod
    def not_json(cls, status: int = 502) -> Wrong:
        """A page of some proxy instead of an answer."""
        return cls(status=status, raw=b"<html><body>Bad Gateway</body></html>")

    @classmethod
    def lost_answer(cls) -> Wrong:
        """The message is delivered, and the connection ends before the answer."""
        return cls(obeyed=True, dropped=True)

    @classmethod
    def slow(cls, until: asyncio.Event) -> Wrong:
        """The message is delivered, and the answer waits for ``until``."""
        return cls(obeyed=True, until=until)

    @classmethod
    def elsewhere(cls, url: str) -> Wrong:
        """A file that is said to lie somewhere else."""
        return cls(status=302, raw=b"", headers={"Location": url})

    @classmethod
    def lying(cls, claimed: int) -> Wrong:
        """A file that is said to have another length."""
        return cls(status=200, claimed=claimed)

    @classmethod
    def packed(cls, content: bytes) -> Wrong:
        """A file that comes compressed, though nobody asked for that."""
        return cls(status=200, raw=content, headers={"Content-Encoding": "gzip"})
