"""Channels started and stopped by hand (protocol.md §10.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.channels.base import Channel, OneByOne
from jobs.errors import InvalidInput, NotFound


class FrontSwitchboard:
    """Keeps the promises of `gateway.rpc.core_admin.Switchboard`.

    What is stopped here is started again by an edit of its config and by the next start of
    the gateway; to keep it off, disable it in the config.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        connect: Callable[[Channel], Awaitable[None]],
        poke: Callable[[], None],
    ) -> None:
        self._channels = channels
        self._connect = connect
        self._poke = poke

    async def start(self, channel: str, account_id: str | None) -> dict[str, Any]:
        """Connect it anew; messages that waited leave."""
        found = self._meant(channel, account_id)
        if account_id is not None and isinstance(found, OneByOne):
            self._refuse_off(found, channel, account_id)
            await found.restart(account_id)
        else:
            await found.stop()
            await self._connect(found)
        self._poke()
        return {"ok": True, "channel": channel, "started": True, **_who(account_id)}

    async def stop(self, channel: str, account_id: str | None) -> dict[str, Any]:
        """Close its connections; messages for it wait in the outbox."""
        found = self._meant(channel, account_id)
        if account_id is not None and isinstance(found, OneByOne):
            await found.leave(account_id)
        else:
            await found.stop()
        return {"ok": True, "channel": channel, "stopped": True, **_who(account_id)}

    def _refuse_off(self, found: OneByOne, channel: str, account_id: str) -> None:
        """Nothing starts an account whose config says no."""
        switched_on = {one.account_id: one.enabled for one in found.status()}
        if not switched_on.get(account_id, False):
            raise InvalidInput(
                f"{channel}/{account_id} was not started",
                why="it is switched off in the config",
                fix=f"engine config set channels.{channel}.accounts.{account_id}.enabled true",
            )

    def _meant(self, channel: str, account_id: str | None) -> Channel:
        found = self._channels.get(channel)
        if found is None:
            have = ", ".join(self._channels) or "none"
            raise NotFound(
                f"unknown channel: {channel}", why=f"have: {have}", fix="engine channels status"
            )
        accounts = [one.account_id for one in found.status()]
        if account_id is None or accounts == [account_id]:
            return found
        if account_id not in accounts:
            raise NotFound(f"unknown account: {channel}/{account_id}", fix="engine channels status")
        if isinstance(found, OneByOne):
            return found
        raise InvalidInput(
            f"{channel} is started and stopped with all its accounts",
            why=f"it has {', '.join(accounts)}",
            fix=f"leave accountId out, or set channels.{channel}.accounts.{account_id}.enabled",
        )


def _who(account_id: str | None) -> dict[str, str]:
    return {} if account_id is None else {"accountId": account_id}
