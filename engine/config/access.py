"""Allow lists that name people together: `accessGroup:<name>` (channels.md §3.1)."""

from __future__ import annotations

from typing import Final, TypeVar

from engine.config.schema import Config
from engine.config.schema.base import Section
from engine.config.schema.channels import AccountKeys, Group
from engine.messages.target import PREFIXES

S = TypeVar("S", bound=Section)
A = TypeVar("A", bound=AccountKeys)

EVERY_CHANNEL: Final = "*"


def written_out(config: Config, channel: str, accounts: dict[str, A]) -> dict[str, A]:
    """Accounts whose allow lists name people only, `accessGroup:<name>` written out."""
    if not config.access_groups:
        return accounts

    def lists(section: S, *names: str) -> S:
        given = {
            name: expanded(config, channel, value)
            for name in names
            if (value := getattr(section, name)) is not None
        }
        return section.model_copy(update=given) if given else section

    def of_group(group: Group) -> Group:
        topics = {n: lists(topic, "allow_from") for n, topic in group.topics.items()}
        return lists(group, "allow_from").model_copy(update={"topics": topics})

    def of_account(account: A) -> A:
        account = lists(account, "allow_from", "group_allow_from")
        if account.groups is None:
            return account
        groups = {ident: of_group(group) for ident, group in account.groups.items()}
        return account.model_copy(update={"groups": groups})

    return {ident: of_account(account) for ident, account in accounts.items()}


def expanded(config: Config, channel: str, entries: tuple[str, ...]) -> tuple[str, ...]:
    """An allow list with the people of its access groups; an unknown group is nobody."""
    found: list[str] = []
    for entry in entries:
        name = group_named(entry)
        group = None if name is None else config.access_groups.get(name)
        if name is None:
            found.append(entry)
        elif group is not None and group.type == "message.senders":
            of_channel = {PREFIXES.get(key.lower(), key): of for key, of in group.members.items()}
            found += [*of_channel.get(EVERY_CHANNEL, ()), *of_channel.get(channel, ())]
    return tuple(found)


def group_named(entry: str) -> str | None:
    """The access group an entry of an allow list means, None for a person."""
    text = entry.strip()
    return text.partition(":")[2].strip() if text.startswith("accessGroup:") else None
