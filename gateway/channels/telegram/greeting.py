"""The first words of a connection: who we are, what people may type, who else holds the bot (§9).

Any of these may be missing on a server that imitates the platform; only a refused token ends it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from engine.messages.fault import FaultClass
from gateway.channels.base import ChannelError
from gateway.channels.telegram.account import Me, TelegramAccount
from gateway.channels.telegram.api import BotApi
from gateway.channels.telegram.live import Live

log = logging.getLogger(__name__)

# What the platform offers to whoever types "/".
COMMANDS: Final = (
    {"command": "hb", "description": "What the last alert was worth; put it off, mute it"},
)


def me_of(result: object, otherwise: Me) -> Me:
    """Read the answer of `getMe`."""
    if not isinstance(result, Mapping):
        return otherwise
    ident = result.get("id")
    known = ident if isinstance(ident, int) else otherwise.id
    reads_all = result.get("can_read_all_group_messages") is not False
    return Me(known, str(result.get("username") or ""), reads_all)


def nobody(account: TelegramAccount) -> Me:
    """What the token itself says: the bot's id stands before its colon."""
    ident = account.token.partition(":")[0]
    return Me(int(ident) if ident.isdecimal() and len(ident) < 20 else 0, "")


async def introduced(live: Live) -> Me:
    """Ask who we are. A platform that cannot say it may still poll and send (§9)."""
    unnamed = nobody(live.account)
    try:
        return me_of(await live.polling.call("getMe", {}), unnamed)
    except ChannelError as error:
        fault = error.fault
        if fault.code != "404" and fault.fault is not FaultClass.UNKNOWN_ERROR:
            raise
        log.warning("getMe failed; mentions are not seen", extra={"detail": str(error)})
        return unnamed


async def take_over(live: Live) -> None:
    """A webhook that is set keeps polls out; one that stays shows itself as a conflict."""
    try:
        await live.polling.call("deleteWebhook", {"drop_pending_updates": False})
    except ChannelError as error:
        if await webhook_of(live.polling) == "":
            return  # there is none to take over from
        log.warning("deleteWebhook failed", extra={"detail": str(error)})


async def webhook_of(api: BotApi) -> str | None:
    """Return the webhook that is set, '' for none; None if the platform does not say."""
    hook = await hook_of(api)
    return None if hook is None else str(hook.get("url") or "")


async def hook_of(api: BotApi) -> Mapping[str, Any] | None:
    """Return what the platform tells of the webhook, None if it does not."""
    with contextlib.suppress(ChannelError):
        hook = await api.call("getWebhookInfo", {})
        if isinstance(hook, Mapping):
            return hook
    return None


async def offer_commands(live: Live) -> None:
    """Tell the platform what people may type; one without it is a platform all the same."""
    with contextlib.suppress(ChannelError):
        await live.polling.call("setMyCommands", {"commands": list(COMMANDS)})
