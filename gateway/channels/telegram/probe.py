"""Whether a Telegram account works, asked of the platform itself (channels.md §12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.messages.fault import Fault, FaultClass
from gateway.channels.base import ChannelError
from gateway.channels.telegram.account import Me, TelegramAccount
from gateway.channels.telegram.api import BotApi
from gateway.channels.telegram.greeting import hook_of, me_of, nobody
from gateway.channels.telegram.live import client

_INSIDE: Final = frozenset({"creator", "administrator", "member", "restricted"})
_ASKED: Final = 20  # groups: a probe takes seconds, not minutes


async def probed(account: TelegramAccount) -> Mapping[str, Any]:
    """Ask who we are, where updates go, and whether we are in the groups of the config."""
    api = client(account)
    try:
        me = me_of(await api.call("getMe", {}), nobody(account))
        told_of = await hook_of(api) or {}
        hook = str(told_of.get("url") or "")
        _heard_here(account, hook)
        _rung_here(hook, told_of)
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


def _rung_here(hook: str, told: Mapping[str, Any]) -> None:
    """Refuse a webhook behind which messages pile up because nobody opens."""
    why = str(told.get("last_error_message") or "")[:200]
    if hook and why and (count := told.get("pending_update_count")):
        many = "1 message waits" if count == 1 else f"{count} messages wait"
        detail = f"the platform could not ring here: {why}; {many}"
        raise ChannelError(Fault(fault=FaultClass.OFFLINE, detail=detail))


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
