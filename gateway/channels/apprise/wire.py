"""Which services a message goes to, and what their answers mean. Pure (channels.md §10, §13)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.channels.base import Fault, FaultClass

# apprise tells a status only in what it logs.
_CODE: Final = re.compile(r"\berror[=:\s]+(\d{3})\b", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_BY_STATUS: Final[Mapping[int, FaultClass]] = {
    400: FaultClass.CONTENT_REJECTED,
    401: FaultClass.AUTH,
    403: FaultClass.AUTH,
    404: FaultClass.NOT_FOUND,
    410: FaultClass.NOT_FOUND,
    413: FaultClass.TOO_LONG,
    422: FaultClass.CONTENT_REJECTED,
    429: FaultClass.RATE_LIMITED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseAccount:
    """A bundle of services. Their URLs hold secrets and are never shown."""

    id: str
    urls: tuple[str, ...] = field(default=(), repr=False)
    tags: tuple[str, ...] = ()
    name: str | None = None
    enabled: bool = True


def service(url: str) -> str:
    """Return what a service is called in words: its scheme, never what follows."""
    found = _SCHEME.match(url)
    return found[0].lower() if found else "service"


def services_for(
    account_id: str, to: str, accounts: Mapping[str, AppriseAccount]
) -> tuple[str, ...]:
    """Return the URLs that a recipient means: an account's own, or all that carry its tag."""
    named = accounts.get(to.strip().lower())
    if named is not None:
        return named.urls if named.enabled else ()
    wanted = to.strip().casefold()
    tagged = [
        url
        for account in accounts.values()
        if account.enabled and wanted in {tag.strip().casefold() for tag in account.tags}
        for url in account.urls
    ]
    if tagged or wanted not in ("", "all"):
        return tuple(dict.fromkeys(tagged))
    mine = accounts.get(account_id)
    return mine.urls if mine is not None else ()


def fault_of(url: str, lines: Sequence[str]) -> Fault:
    """Return the fault of one service by what was logged meanwhile; else `server`.

    Nothing of the log is quoted: it may hold what the URL holds.
    """
    codes = [int(found[1]) for line in lines if (found := _CODE.search(line))]
    if not codes:
        detail = f"{service(url)} was not reached, or did not say why it refused"
        return Fault(fault=FaultClass.SERVER, detail=detail)
    kind = _BY_STATUS.get(codes[-1], FaultClass.SERVER)
    return Fault(fault=kind, code=str(codes[-1]), detail=f"{service(url)} answered {codes[-1]}")


def of_file(fault: Fault) -> Fault:
    """Return what a fault means for a message that carries a file: the words go without it."""
    if fault.fault in (FaultClass.CONTENT_REJECTED, FaultClass.TOO_LONG):
        return replace(fault, fault=FaultClass.MEDIA_REFUSED)
    return fault


def worst(faults: Sequence[Fault]) -> Fault:
    """Return the fault of a message that no service took: one that time mends, if there is one."""
    passing = (FaultClass.RATE_LIMITED, FaultClass.SERVER)
    return next((fault for fault in faults if fault.fault in passing), faults[0])
