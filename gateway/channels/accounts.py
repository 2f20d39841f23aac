"""Bots out of the config: where their credentials are, and what holds for each (channels.md §2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from engine.config import credential_file, effective
from engine.config.schema.channels import (
    QqAccount as QqKeys,
    QqPeerQuota,
    TelegramAccount as TelegramKeys,
)
from engine.messages.media import MB
from gateway.channels.qq.account import (
    API_BASE,
    Intents,
    PeerQuota,
    QqAccount,
    Quota,
    token_address,
)
from gateway.channels.telegram.account import API_ROOT, TelegramAccount, Webhook
from jobs.errors import ConfigInvalid

INBOUND_MB: Final = 20  # channels.md §5
log = logging.getLogger(__name__)


def telegram_account(
    ident: str, account: TelegramKeys, environ: Mapping[str, str]
) -> TelegramAccount:
    """One bot with its token, from wherever it is; without one it is listed, and not started."""
    token, source = None, None
    if account.bot_token:
        token, source = account.bot_token.known, "config"
    elif account.token_file:
        token, source = _from_file(_telegram_file(ident, account)), "file"
    elif ident == effective.DEFAULT_ACCOUNT and environ.get("TELEGRAM_BOT_TOKEN"):
        token, source = environ["TELEGRAM_BOT_TOKEN"], "env"
    if not token:
        log.warning("telegram account has no token", extra={"account": ident})
    return TelegramAccount(
        id=ident,
        token=token or "",
        api_root=account.api_root or API_ROOT,
        name=account.name,
        enabled=account.enabled,
        token_source=source if token else None,
        allow_from=effective.clean(account.allow_from or ()),
        chunk=account.text_chunk_limit,
        timeout=account.timeout_seconds,
        webhook=_webhook(account),
        stalled_after=timedelta(milliseconds=account.polling_stall_threshold_ms),
        groups=tuple(one for one in account.groups or () if one != effective.ANY_ACCOUNT),
        hears_all=any(one.require_mention is False for one in (account.groups or {}).values()),
        media_most=(account.media_max_mb or INBOUND_MB) * MB,
    )


def _webhook(keys: TelegramKeys) -> Webhook | None:
    secret = keys.webhook_secret.known if keys.webhook_secret else None
    if not keys.webhook_url or not secret:
        return None
    return Webhook(
        url=keys.webhook_url,
        secret=secret,
        host=keys.webhook_host,
        port=keys.webhook_port,
        path=keys.webhook_path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file with a credential, and what to say if it is gone."""

    path: str
    account: str  # as a person calls it
    key: str
    enabled: bool


def _telegram_file(ident: str, keys: TelegramKeys) -> _File:
    return _File(
        path=keys.token_file or "",
        account=f"telegram account {ident}",
        key=_key_of("telegram", ident, "tokenFile"),
        enabled=keys.enabled,
    )


def _qq_file(ident: str, keys: QqKeys) -> _File:
    return _File(
        path=keys.client_secret_file or "",
        account=f"qqbot account {ident}",
        key=_key_of("qqbot", ident, "clientSecretFile"),
        enabled=keys.enabled,
    )


def _key_of(channel: str, ident: str, name: str) -> str:
    whose = "" if ident == effective.DEFAULT_ACCOUNT else f".accounts.{ident}"
    return f"channels.{channel}{whose}.{name}"


def _from_file(file: _File) -> str | None:
    """A credential from its file; an enabled account whose file is gone stops the start (§5)."""
    key = file.key.rpartition(".")[2]
    try:
        return credential_file.read(file.path)
    except OSError as error:
        if not file.enabled:
            return None
        raise ConfigInvalid(
            f"{file.account} has no {'token' if 'token' in key else 'secret'}",
            why=f"its {key} {credential_file.fault(file.path)}",
            fix=f"correct {file.key}, or disable the account",
        ) from error


def qq_account(ident: str, keys: QqKeys, environ: Mapping[str, str]) -> QqAccount:
    """One bot with its credentials, from wherever they are; without them it is only listed."""
    app_id, secret, source = keys.app_id, None, "config"
    if keys.client_secret:
        secret = keys.client_secret.known
    elif keys.client_secret_file:
        secret, source = _from_file(_qq_file(ident, keys)), "file"
    if ident == effective.DEFAULT_ACCOUNT and not (app_id and secret):
        app_id = app_id or environ.get("QQBOT_APP_ID")
        if not secret:
            secret, source = environ.get("QQBOT_CLIENT_SECRET"), "env"
    if not app_id or not secret:
        log.warning("qqbot account has no appId or no clientSecret", extra={"account": ident})
        app_id, secret = app_id or "", ""
    api_base = keys.api_base or API_BASE
    return QqAccount(
        id=ident,
        app_id=app_id,
        client_secret=secret,
        api_base=api_base,
        token_url=token_address(keys.token_url or api_base),
        gateway_url=keys.gateway_url,
        name=keys.name,
        enabled=keys.enabled,
        token_source=source if secret else None,
        allow_from=effective.clean(keys.allow_from or ()),
        markdown=keys.markdown_support,
        certified=keys.certified,
        hold=keys.held_on_contact,
        recalls=keys.recall_messages,
        chunk=keys.text_chunk_limit,
        media_most=(keys.media_max_mb or INBOUND_MB) * MB,
        intents=_intents(keys),
        quota=Quota(
            direct=_peer_quota(keys.quota.direct, Quota().direct),
            group=_peer_quota(keys.quota.group, Quota().group),
            guild=_peer_quota(keys.quota.guild, Quota().guild),
            guild_direct=_peer_quota(keys.quota.guild_direct, Quota().guild_direct),
        ),
    )


_INTENTS: Final[Mapping[str, Intents]] = {
    "group": Intents.GROUP,
    "interaction": Intents.INTERACTION,
    "guild": Intents.GUILD,
    "guildDirect": Intents.GUILD_DIRECT,
}


def _intents(keys: QqKeys) -> Intents:
    asked = Intents(0)
    for name in keys.intents:
        asked |= _INTENTS[name]
    return asked or Intents.GROUP


def _peer_quota(keys: QqPeerQuota, otherwise: PeerQuota) -> PeerQuota:
    return PeerQuota(
        window=otherwise.window if keys.window is None else keys.window,
        replies=keys.replies or otherwise.replies,
        per_minute=keys.per_minute or otherwise.per_minute,
        per_day=otherwise.per_day if keys.per_day is None else keys.per_day,
    )
