"""Access tokens: when one is good, when a new one may be asked for (channels.md §8).

The platform hands the same token out until its last minute, so asking earlier is no use; one
flight at a time and never two within five seconds, because asking is limited as well.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from engine.messages.fault import Fault, FaultClass
from gateway.channels.base import ChannelError
from gateway.channels.qq.faults import classify

REFRESH_AT: Final = timedelta(seconds=55)  # before the end
NOT_AGAIN_WITHIN: Final = timedelta(seconds=5)
_LONGEST: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Token:
    """One token, on monotonic time."""

    value: str
    asked_at: timedelta
    expires_at: timedelta

    def good(self, now: timedelta) -> bool:
        """Whether it can be used without asking for the next one."""
        return now < self.expires_at - min(REFRESH_AT, (self.expires_at - self.asked_at) / 2)

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at})"


def read(status: int, body: Mapping[str, Any] | None, now: timedelta) -> Token:
    """Return the token of an answer, which is HTTP 200 even if it is none."""
    value = (body or {}).get("access_token")
    seconds = _seconds((body or {}).get("expires_in"))
    if isinstance(value, str) and value and seconds is not None and 200 <= status < 300:
        return Token(value, now, now + timedelta(seconds=seconds))
    fault = classify(status, body)
    if fault.fault is FaultClass.NETWORK_AMBIGUOUS:  # no harm is done by asking again
        fault = Fault(fault=FaultClass.SERVER, code=fault.code, detail=fault.detail)
    raise ChannelError(fault)


def _seconds(value: object) -> float | None:
    """A number, which some answers write as text."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST) if seconds > 0 else None


class Tokens:
    """The token of one bot. Whoever needs it asks here; only one of them asks the platform."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[tuple[int, Mapping[str, Any] | None]]],
        monotonic: Callable[[], timedelta],
    ) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._flight = asyncio.Lock()
        self._token: Token | None = None

    @property
    def left(self) -> timedelta | None:
        """How long the token holds; None without one."""
        return None if self._token is None else self._token.expires_at - self._monotonic()

    async def get(self) -> str:
        """Return a token that holds. Raises `ChannelError`."""
        async with self._flight:
            if self._token is None or not self._token.good(self._monotonic()):
                self._token = await self._fresh()
            return self._token.value

    async def another(self, refused: str) -> str:
        """Return another token than the refused one. Raises `ChannelError` if there is none."""
        async with self._flight:
            token = self._token
            if token is not None and token.value == refused:
                if self._monotonic() - token.asked_at < NOT_AGAIN_WITHIN:
                    detail = "a token that was issued seconds ago is refused"
                    raise ChannelError(Fault(fault=FaultClass.AUTH, code="11244", detail=detail))
                token = None
            if token is None or not token.good(self._monotonic()):
                token = await self._fresh()
            self._token = token
            return token.value

    def forget(self) -> None:
        """The token was refused elsewhere: the next one who needs it asks for another."""
        self._token = None

    async def _fresh(self) -> Token:
        status, body = await self._ask()
        return read(status, body, self._monotonic())
