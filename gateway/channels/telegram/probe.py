"""Whether a Telegram account works, asked of the platform itself (channels.md §12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.fault import Fault, FaultClass
from gateway.channels.base import ChannelError
from gateway.channels.telegram.account import Me, TelegramAccount
from gateway.channels.telegram.api import BotApi
from gateway.channels.telegram.greeting import me_of, nobody, webhook_of
from gateway.channels.telegram.live import client

_INSIDE: Final = frozenset({"creator", "administrator", "member", "restricted"})
_ASKED: Final = 20  # groups: a probe takes seconds, not minutes


async def probed(account: TelegramAccount) -> Mapping[str, Any]:
    """Ask who we are, where updates go, and whether we are in the groups of the config."""
    api = client(account)
    try:
        me = me_of(await api.call("getMe", {}), nobody(account))
        hook = await webhook_of(api) or ""
        _heard_here(account, hook)
        missing = await _missing(api, me, account.groups)
    except ChannelError as error:
        return error.probed()
    finally:
        await api.close()
    told = {"username": me.username, "webhook": bool(hook)}
    if missing:
        return {"ok": False, "detail": f"audit failed: {missing}", **told}
    return {"ok": True, "detail": "works, audit ok" if account.groups else "works", **told}


def _heard_here(account: TelegramAccount, hook: str) -> None:
    """Refuse a webhook that takes the updates elsewhere."""
    expected = account.webhook.url if account.webhook is not None else ""
    if hook and hook != expected:
        detail = "a webhook that is not ours takes the updates"
        raise ChannelError(Fault(fault=FaultClass.CONFLICT, detail=detail))


async def _missing(api: BotApi, me: Me, groups: tuple[str, ...]) -> str:
    """The groups of the config that the bot is not in, in words; '' if it is in all."""
    found = list[str]()
    for group in [one for one in groups if one.startswith("-")][:_ASKED]:
        try:
            asked = {"chat_id": int(group), "user_id": me.id}
            member = await api.call("getChatMember", asked)
        except ChannelError as error:
            found.append(f"{group} ({error.fault.detail or error.fault.fault})")
            continue
        status = str(member.get("status")) if isinstance(member, Mapping) else "unknown"
        if status not in _INSIDE:
            found.append(f"{group} (the bot's status there is {status})")
    return ", ".join(found)
