"""From the config in force to channels, their accounts, and who may talk (channels.md §2, §3)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from engine.clock import Clock
from engine.config import chats, effective
from engine.config.schema import Config
from engine.config.schema.channels import AccountKeys, AppriseAccount as AppriseKeys, Group
from engine.events import Bus
from engine.messages.address import Route
from engine.messages.route import JOB_WEBHOOKS, PINGS
from engine.record import finished
from engine.store import audit, sessions
from gateway.channels import accounts
from gateway.channels.apprise.channel import AppriseChannel
from gateway.channels.apprise.wire import AppriseAccount
from gateway.channels.base import Channel, LoadCursor, Move, Remark, SaveCursor
from gateway.channels.local import LocalChannel
from gateway.channels.plugin import Around, plugged_in
from gateway.channels.policy import GroupRule, Manners, Policy as TalkPolicy
from gateway.channels.qq.channel import QqChannel
from gateway.channels.telegram.channel import TelegramChannel, no_ports
from gateway.channels.telegram.door import Listen
from gateway.channels.telegram.token_lock import common_room
from gateway.channels.webhook.channel import WebhookChannel
from gateway.channels.webhook.wire import WebhookAccount
from jobs.store import runs
from jobs.store.db import Database

log = logging.getLogger(__name__)


def channels(
    config: Config,
    database: Database,
    environ: Mapping[str, str],
    *,
    clock: Clock,
    bus: Bus,
    listen: Listen | None = None,
) -> dict[str, Channel]:
    """The local inbox, and every channel that is configured and switched on."""
    made: dict[str, Channel] = {"local": LocalChannel(database, clock=clock, bus=bus)}
    telegram = config.channels.telegram
    if telegram is not None and telegram.enabled:
        telegram_bots = [
            accounts.telegram_account(ident, account, environ)
            for ident, account in effective.telegram_accounts(config).items()
        ]
        made["telegram"] = TelegramChannel(
            telegram_bots,
            clock=clock,
            bus=bus,
            load_cursor=_cursor_of(database),
            save_cursor=_keeper_of(database, clock),
            remark=_remark_to(database, clock),
            move=_mover_of(database),
            listen=listen or no_ports,
            locks=common_room(),
        )
    qqbot = config.channels.qqbot
    if qqbot is not None and qqbot.enabled:
        bots = [
            accounts.qq_account(ident, keys, environ)
            for ident, keys in effective.qq_accounts(config).items()
        ]
        made["qqbot"] = QqChannel(
            bots,
            clock=clock,
            bus=bus,
            load_cursor=_cursor_of(database),
            save_cursor=_keeper_of(database, clock),
        )
    if config.channels.apprise is not None and config.channels.apprise.enabled:
        made["apprise"] = AppriseChannel(_bundles(config))
    made["webhook"] = WebhookChannel(_webhooks(config), clock=clock, facts_of=_facts_of(database))

    def around(settings: Any) -> Around:
        return Around(
            settings=settings,
            config=config,
            environ=environ,
            clock=clock,
            bus=bus,
            load_cursor=_cursor_of(database),
            save_cursor=_keeper_of(database, clock),
        )

    return {**made, **plugged_in(config, around)}


def _bundles(config: Config) -> list[AppriseAccount]:
    return [_bundle(ident, keys) for ident, keys in effective.apprise_accounts(config).items()]


def _bundle(ident: str, keys: AppriseKeys) -> AppriseAccount:
    return AppriseAccount(
        id=ident,
        urls=tuple(url.known for url in keys.urls if url.known),
        tags=keys.tags,
        name=keys.name,
        enabled=keys.enabled,
    )


def _webhooks(config: Config) -> list[WebhookAccount]:
    """The configured places, and the account of jobs that name a URL themselves."""
    cron, found = config.cron, list[WebhookAccount]()
    hosts = cron.webhook_ssrf_policy
    found.append(
        WebhookAccount(
            id=JOB_WEBHOOKS,
            secret=cron.webhook_token.reveal() if cron.webhook_token else None,
            bearer=True,
            allow_private=hosts.dangerously_allow_private_network,
            allowed_hosts=hosts.allowed_hostnames,
            blocked_hosts=hosts.blocked_hostnames,
        )
    )
    # They are strangers: the token of jobs' own webhooks is none of their business.
    found.append(replace(found[0], id=PINGS, secret=None, bearer=False))
    webhook = config.channels.webhook
    if webhook is None or not webhook.enabled:
        return found
    places = {effective.DEFAULT_ACCOUNT: webhook, **webhook.accounts}
    return found + [
        WebhookAccount(
            id=ident,
            url=place.url.known or "",
            secret=place.secret.known if place.secret else None,
            format=place.format,
            enabled=place.enabled,
            allow_private=place.allow_private,
            probe_url=place.probe_url,
        )
        for ident, place in places.items()
        if place.url is not None
    ]


def _facts_of(database: Database) -> Callable[[str], Awaitable[Mapping[str, Any]]]:
    async def facts(run_id: str) -> Mapping[str, Any]:
        run = await database.read(lambda tx: runs.get(tx, run_id))
        return finished(run) if run is not None and run.kind == "cron" else {}

    return facts


def _cursor_of(database: Database) -> LoadCursor:
    async def cursor(channel: str, account: str) -> str | None:
        return await database.read(lambda tx: sessions.cursor(tx, channel, account))

    return cursor


def _keeper_of(database: Database, clock: Clock) -> SaveCursor:
    async def keep(channel: str, account: str, value: str) -> None:
        now = clock.now()
        await database.write(lambda tx: sessions.set_cursor(tx, channel, account, value, now))

    return keep


def _remark_to(database: Database, clock: Clock) -> Remark:
    async def remark(channel: str, account: str, what: str, detail: Mapping[str, Any]) -> None:
        now, subject = clock.now(), f"{channel}|{account}"
        await database.write(
            lambda tx: audit.note(
                tx, now=now, actor="gateway", action=what, subject=subject, detail=detail
            )
        )

    return remark


def _mover_of(database: Database) -> Move:
    async def move(channel: str, account: str, old: str, new: str) -> None:
        route = Route(channel=channel, account_id=account, to=old)
        await database.write(lambda tx: sessions.move_peer(tx, route, new))

    return move


def _group_rule(group: Group) -> GroupRule:
    """A group's settings, and those of its topics over them."""
    own = GroupRule(
        require_mention=group.require_mention is not False,
        ignore_others=group.ignore_other_mentions,
        allow_from=effective.clean(group.allow_from or ()),
        enabled=group.enabled,
        policy=group.group_policy,
    )
    topics = {
        number: replace(
            own,
            require_mention=own.require_mention
            if topic.require_mention is None
            else topic.require_mention,
            allow_from=own.allow_from
            if topic.allow_from is None
            else effective.clean(topic.allow_from),
            enabled=own.enabled and topic.enabled,
        )
        for number, topic in group.topics.items()
    }
    return replace(own, topics=topics)


def _talk_policy(account: AccountKeys, group_default: str | None) -> TalkPolicy:
    groups = None
    if account.groups is not None:
        groups = {ident: _group_rule(group) for ident, group in account.groups.items()}
    return TalkPolicy(
        dm=account.dm_policy or "pairing",
        allow_from=effective.clean(account.allow_from or ()),
        group=account.group_policy or group_default or "allowlist",
        groups=groups,
        group_allow_from=effective.clean(account.group_allow_from)
        if account.group_allow_from is not None
        else None,
    )


def talk_policy(config: Config, channel: str, account_id: str) -> TalkPolicy:
    """Who may talk to this account; nobody where no account is."""
    account = effective.chat_account(config, channel, account_id)
    if account is None:
        return TalkPolicy(dm="disabled")
    return _talk_policy(account, config.channels.defaults.group_policy)


def manners(config: Config, channel: str, account_id: str, agent_id: str) -> Manners:
    """How an account listens, for one agent."""
    return Manners(
        patterns=chats.mention_patterns(config, agent_id),
        history=chats.history_limit(config, channel, account_id, agent_id),
        max_age=chats.max_age(config, channel, account_id),
    )


def resends(config: Config, route: Route) -> bool:
    """Whether a message that may have arrived is sent again (`onUnknown`, channels.md §11)."""
    account = effective.chat_account(config, route.channel, route.account_id)
    return account is not None and account.on_unknown == "resend"
