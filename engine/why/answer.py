"""The answer as it is printed: the cause, one sentence, the links, the line that mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from engine.why.chain import Code, Link, Standing, cause, fix_line, read

_NO_LONGER: Final = "nothing: it is no longer so"
# Links that are as somebody set them, until somebody sets them otherwise.
_STAYS: Final = (Code.HEARTBEAT, Code.CHECKLIST, Code.MODEL, Code.TARGET, Code.POLICY)


class When(StrEnum):
    """Which moment an answer is about."""

    NOW = "now"
    PAST = "past"
    FUTURE = "future"


def answered(told: Mapping[str, Any], outer: Sequence[Link] = ()) -> dict[str, Any]:
    """Return the answer to `why`: what a gateway or the store told, and ``outer`` before it."""
    chain = [*outer, *map(read, told["links"])]
    found = cause(chain)
    return {
        **told,
        "cause": found.name if found is not None else None,
        "sentence": sentence(told, chain),
        "links": [link.to_json() for link in chain],
        "fix": fix_line(chain) or None,
    }


def mended(told: Mapping[str, Any], present: Sequence[Link]) -> dict[str, Any]:
    """Return what was told of the past, without remedies for what is no longer so.

    What still is so has the remedy of now, which knows where the config says it.
    """
    fine = {
        code
        for code in _STAYS
        if all(link.state is Standing.OK for link in present if link.code is code)
    }
    ways = {link.name: link.fix for link in present if link.state is Standing.BROKEN and link.fix}
    chain = [
        replace(link, fix=_NO_LONGER if link.code in fine else ways.get(link.name, link.fix))
        if link.fix
        else link
        for link in map(read, told["links"])
    ]
    return {**told, "links": [link.to_json() for link in chain]}


def sentence(told: Mapping[str, Any], chain: Sequence[Link]) -> str:
    """Say the first cause; if there is none, what it waits for or what came of it."""
    subject = str(told.get("subject") or told["agentId"])
    match When(told.get("when") or When.NOW):
        case When.PAST:
            return _past(subject, chain)
        case When.FUTURE:
            return _future(subject, chain)
        case When.NOW:
            return _now(subject, chain)


def _now(subject: str, chain: Sequence[Link]) -> str:
    if (found := cause(chain)) is not None:
        return f"No proactive message of {subject} reaches you because {found.what}."
    waits = _waiting(chain)
    return f"Nothing stands in the way of {subject}" + (f": {waits.what}." if waits else ".")


def _past(subject: str, chain: Sequence[Link]) -> str:
    if (found := cause(chain)) is not None:
        return f"No message came of {subject} because {found.what}."
    if (waits := _waiting(chain)) is not None:
        return f"Nothing has come of {subject}: {waits.what}."
    arrived = next((link for link in chain if link.code is Code.DELIVERY), None)
    if arrived is not None and arrived.state is Standing.OK:
        return f"A message came of {subject}: {arrived.what}."
    unsure = next((link for link in chain if link.state is Standing.UNKNOWN), None)
    return f"Nothing stood in the way of {subject}" + (f"; {unsure.what}." if unsure else ".")


def _future(subject: str, chain: Sequence[Link]) -> str:
    if (found := cause(chain)) is not None:
        return f"No message will come of {subject} because {found.what}."
    held = next(
        (link for link in chain if link.state is Standing.WAITING and link.code is not Code.WINDOW),
        None,
    )
    if held is not None:
        return f"Nothing will come of {subject}: {held.what}."
    return f"Nothing known now will stand in the way of {subject}."


def _waiting(chain: Sequence[Link]) -> Link | None:
    return next((link for link in chain if link.state is Standing.WAITING), None)
