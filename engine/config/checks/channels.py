"""Who may write to an account, and which account sends (channels.md §2, §3)."""

from __future__ import annotations

import re
from typing import Final

from engine.config import access, credential_file, effective
from engine.config.checks.findings import Check
from engine.config.keypath import Key
from engine.config.schema.channels import AccountKeys, QqAccount, TelegramAccount
from engine.messages import mentions

DEFAULT_MISSING: Final = "channels.default_account_missing"
SHOWN: Final = frozenset({DEFAULT_MISSING})  # whoever asks for the channels is told
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_NUMERIC: Final = re.compile(r"(?:(?:telegram|tg):)?-?\d+", re.IGNORECASE)


def _default_account_warning(channel: str, first: str) -> str:
    """The text of channels.md §2, with the account that would be picked."""
    return (
        f"channels.{channel}: multiple accounts are configured but no explicit default is set."
        f" Set channels.{channel}.defaultAccount or add channels.{channel}.accounts.default"
        f' to avoid fallback routing. Outbound without an account uses "{first}".'
    )


def accounts(check: Check) -> None:
    """Every account of every chat channel, over what it inherits."""
    for name in ("telegram", "qqbot"):
        section = getattr(check.config.channels, name)
        if section is None:
            continue
        key: Key = ("channels", name)
        _account(check, key, section, telegram=name == "telegram", inherited=None)
        for ident, account in section.accounts.items():
            where = (*key, "accounts", ident)
            _account(check, where, account, telegram=name == "telegram", inherited=section)
        if name == "telegram":
            _webhooks_apart(check)
        ids = effective.account_ids(check.config, name)
        chosen = effective.default_account_of(check.config, name)
        if section.default_account and chosen is None:
            check.refuse(
                (*key, "defaultAccount"),
                f'no account "{section.default_account}" (there is {", ".join(ids)})',
            )
        elif len(ids) > 1 and chosen is None and _may_guess(check, name, ids):
            check.warn(key, DEFAULT_MISSING, _default_account_warning(name, ids[0]))


def _may_guess(check: Check, channel: str, ids: tuple[str, ...]) -> bool:
    """Whether an agent could speak without anybody having said by which account.

    An agent bound to exactly one account speaks by that one (operations.md §16 L13).
    """
    if effective.DEFAULT_ACCOUNT in ids:
        return False
    return any(
        len(effective.bound_accounts(check.config, agent.id, channel)) != 1
        for agent in effective.agents(check.config)
    )


def _account(
    check: Check, key: Key, keys: AccountKeys, *, telegram: bool, inherited: AccountKeys | None
) -> None:
    allow = keys.allow_from if keys.allow_from is not None else _allow_of(inherited)
    allow = effective.clean(allow or ())
    if keys.dm_policy == "allowlist" and not allow and not _accounts_allow(keys):
        check.refuse((*key, "dmPolicy"), "allowlist needs at least one entry in allowFrom")
    if keys.dm_policy == "open" and "*" not in allow:
        check.refuse((*key, "dmPolicy"), 'open needs "*" in allowFrom')
    if telegram:
        _telegram_lists(check, key, keys)
    _access_groups(check, key, keys)
    if isinstance(keys, TelegramAccount):
        _addresses(check, key, keys)


def credentials(check: Check) -> None:
    """The files that hold the credentials of enabled bots."""
    for name in ("telegram", "qqbot"):
        section = getattr(check.config.channels, name)
        if section is None or not section.enabled:
            continue
        key: Key = ("channels", name)
        _credential(check, key, section)
        for ident, account in section.accounts.items():
            _credential(check, (*key, "accounts", ident), account)


def _credential(check: Check, key: Key, keys: AccountKeys) -> None:
    """An enabled bot whose file is gone stops the start (§5): it is told before that."""
    name, file = "", None
    if isinstance(keys, TelegramAccount) and keys.bot_token is None:
        name, file = "tokenFile", keys.token_file
    if isinstance(keys, QqAccount) and keys.client_secret is None:
        name, file = "clientSecretFile", keys.client_secret_file
    if keys.enabled and file and (why := credential_file.fault(file)):
        check.refuse((*key, name), f"{why}; put the credential there, or disable the account")


def _addresses(check: Check, key: Key, keys: TelegramAccount) -> None:
    """A webhook and its secret go together: without it anybody could speak for the platform."""
    if re.search(r"/bot\d+:[^/]*/?$", keys.api_root or ""):
        check.refuse((*key, "apiRoot"), "apiRoot ends in /bot<token>: remove that part")
    url, secret = keys.webhook_url, keys.webhook_secret
    if bool(url) != bool(secret):
        missing = "webhookSecret" if url else "webhookUrl"
        check.refuse((*key, missing), "webhookUrl and webhookSecret are required together")
    if url and not re.match(r"https?://[^/\s]+", url):
        check.refuse((*key, "webhookUrl"), f'"{url}" is no http(s) address')
    if secret and secret.value is not None and not _SECRET.fullmatch(secret.value):
        words = "1 to 256 characters out of A-Z a-z 0-9 _ -, as the platform asks"
        check.refuse((*key, "webhookSecret"), words)
    if not keys.webhook_path.startswith("/"):
        check.refuse((*key, "webhookPath"), 'begins with "/"')


def _webhooks_apart(check: Check) -> None:
    """Two bots cannot be rung at with one bell."""
    taken: dict[tuple[str, int, str], str] = {}
    for ident, keys in effective.telegram_accounts(check.config).items():
        if not keys.webhook_url or not keys.enabled:
            continue
        bell = (keys.webhook_host, keys.webhook_port, keys.webhook_path)
        other = taken.setdefault(bell, ident)
        if other != ident:
            check.refuse(
                ("channels", "telegram", "accounts", ident, "webhookPath"),
                f'"{other}" listens at {keys.webhook_path} of port {keys.webhook_port} already',
            )


def _allow_of(keys: AccountKeys | None) -> tuple[str, ...] | None:
    return None if keys is None else keys.allow_from


def _accounts_allow(keys: AccountKeys) -> bool:
    """A channel whose accounts all have their own list needs none itself."""
    own = getattr(keys, "accounts", {})
    return bool(own) and all(effective.clean(a.allow_from or ()) for a in own.values())


def _access_groups(check: Check, key: Key, keys: AccountKeys) -> None:
    """Whoever names a group nobody wrote down would let in nobody without knowing why."""
    lists: list[tuple[Key, tuple[str, ...]]] = [
        ((*key, "allowFrom"), keys.allow_from or ()),
        ((*key, "groupAllowFrom"), keys.group_allow_from or ()),
    ]
    for ident, group in (keys.groups or {}).items():
        where = (*key, "groups", ident)
        lists.append(((*where, "allowFrom"), group.allow_from or ()))
        for number, topic in group.topics.items():
            lists.append(((*where, "topics", number, "allowFrom"), topic.allow_from or ()))
    for place, entries in lists:
        for n, entry in enumerate(entries):
            name = access.group_named(entry)
            if name is not None and name not in check.config.access_groups:
                have = ", ".join(sorted(check.config.access_groups)) or "none"
                check.refuse((*place, n), f"no accessGroups.{name} (there is {have})")


def mention_patterns(check: Check) -> None:
    """A pattern that is wrong, or could hold everything up, is not used (channels.md §3.3)."""
    places: list[tuple[Key, tuple[str, ...]]] = [
        (("agents", "list", n, "groupChat"), agent.group_chat.mention_patterns or ())
        for n, agent in enumerate(check.config.agents.list)
    ]
    messages = check.config.messages.group_chat.mention_patterns
    places.append((("messages", "groupChat"), messages or ()))
    for key, patterns in places:
        for n, pattern in enumerate(patterns):
            if why := mentions.fault(pattern):
                check.warn(
                    (*key, "mentionPatterns", n),
                    "channels.mention_pattern_ignored",
                    f'"{pattern[:80]}" is not used: {why}',
                )


def _telegram_lists(check: Check, key: Key, keys: AccountKeys) -> None:
    for name, entries in (
        ("allowFrom", keys.allow_from),
        ("groupAllowFrom", keys.group_allow_from),
    ):
        for n, entry in enumerate(entries or ()):
            if not entry or entry == "*" or access.group_named(entry) is not None:
                continue
            if not _NUMERIC.fullmatch(entry):
                check.refuse(
                    (*key, name, n),
                    f'"{entry}" is not a numeric Telegram id; @userinfobot tells people theirs',
                )
            elif name == "groupAllowFrom" and "-" in entry:
                check.refuse(
                    (*key, name, n),
                    f'"{entry}" is a chat, not a person; list it under groups and people here',
                )
