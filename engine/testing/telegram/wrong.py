"""The ways a call of the Bot API goes wrong, in the platform's own words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

BLOCKED: Final = "Forbidden: bot was blocked by the user"
THREAD_NOT_FOUND: Final = "Bad Request: message thread not found"
CANNOT_PARSE: Final = "Bad Request: can't parse entities: unexpected end tag at byte offset 3"


class Refusal(Exception):
    """An API answer with ``ok: false``."""

    def __init__(self, status: int, description: str, parameters: Mapping[str, Any] | None = None):
        super().__init__(description)
        self.status = status
        self.body = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = dict(parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One call that goes wrong. The named constructors are the usual ways."""

    status: int = 200
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes | None = None  # an answer that is not the API's JSON
    obeyed: bool = False  # the platform did it all the same
    dropped: bool = False  # the connection ends without an answer
    until: asyncio.Event | None = None  # the answer waits for this
    headers: Mapping[str, str] = field(default_factory=dict)  # of a file that is fetched
    claimed: int | None = None  # the length a file is said to have

    @classmethod
    def too_many(cls, retry_after: int) -> Wrong:
        """429 with `retry_after`."""
        return cls(
            status=429,
            description=f"Too Many Requests: retry after {retry_after}",
            parameters={"retry_after": retry_after},
        )

    @classmethod
    def unauthorized(cls) -> Wrong:
        """401: the token is refused."""
        return cls(status=401, description="Unauthorized")

    @classmethod
    def blocked(cls) -> Wrong:
        """403: the person blocked the bot."""
        return cls(status=403, description=BLOCKED)

    @classmethod
    def bad_request(cls, description: str) -> Wrong:
        """400 with these words."""
        return cls(status=400, description=description)

    @classmethod
    def migrated(cls, new_chat_id: int) -> Wrong:
        """400: the group became a supergroup."""
        return cls(
            status=400,
            description="Bad Request: group chat was upgraded to a supergroup chat",
            parameters={"migrate_to_chat_id": new_chat_id},
        )

    @classmethod
    def conflict(cls) -> Wrong:
        """409: somebody else polls with this token."""
        return cls(
            status=409,
            description="Conflict: terminated by other getUpdates request; make sure that only "
            "one bot instance is running",
        )

    @classmethod
    def server_error(cls, status: int = 500) -> Wrong:
        """5xx, with the API's JSON."""
        return cls(status=status, description="Internal Server Error")

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
        return cls(claimed=claimed)

    @classmethod
    def packed(cls, content: bytes) -> Wrong:
        """A file that comes compressed, though nobody asked for that."""
        return cls(raw=content, headers={"Content-Encoding": "gzip"})
