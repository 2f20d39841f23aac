"""What stores of JSON have in common: reading without trust, line by line where it is lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from jobs.errors import UnreadableSource
from jobs.importing.report import Notes, Weight, shortened

_SHOWN: Final = 3


def parsed(text: str, what: str) -> Any:
    """Return the JSON value of a text. Raises `UnreadableSource` with line and column."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise UnreadableSource(
            f"{what} cannot be read", why="it is nested too deeply", fix="restore a backup of it"
        ) from None
    except json.JSONDecodeError as error:
        why = f"line {error.lineno} column {error.colno}: {error.msg}"
        raise _unreadable(what, why) from None
    except ValueError as error:  # a number of thousands of digits, or NaN
        raise _unreadable(what, str(error)) from None


def _unreadable(what: str, why: str) -> UnreadableSource:
    return UnreadableSource(
        f"{what} cannot be read",
        why=f"{why}; nothing of it was taken",
        fix="restore a backup of it, or correct it there",
    )


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def lines(text: str, where: str, notes: Notes) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the objects of JSON lines with their numbers; what is none is remarked."""
    found: list[tuple[int, Mapping[str, Any]]] = []
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            found.append((number, value))
        else:
            wrong.append((number, line))
    for number, line in wrong[:_SHOWN]:
        notes.add(Weight.LEFT_OUT, f"{where} line {number}", "it is no JSON object", "", line)
    if len(wrong) > _SHOWN:
        why = f"{len(wrong) - _SHOWN} more lines are no JSON objects"
        notes.add(Weight.LEFT_OUT, where, why)
    return found


def listed_jobs(store: Any, what: str) -> list[Any]:
    """Return the rows of `{version, jobs[]}`, or of a bare list."""
    rows = store.get("jobs") if isinstance(store, Mapping) else store
    if not isinstance(rows, list):
        raise UnreadableSource(
            f"{what} cannot be read", why="it has no list of jobs", fix="name the jobs file itself"
        )
    version = store.get("version", 1) if isinstance(store, Mapping) else 1
    if version != 1:
        raise UnreadableSource(
            f"{what} cannot be read",
            why=f"it has version {shortened(repr(version), 40)}; version 1 is known",
            fix="import it with a newer engine",
        )
    return rows


def dropped(
    values: Mapping[str, Any], known: Iterable[str], what: str, where: str, notes: Notes
) -> dict[str, Any]:
    """Return what is known; the rest is remarked with its value."""
    kept = set(known)
    for key, value in values.items():
        if key not in kept and value is not None:
            why = f"{what}{key} has no counterpart here"
            notes.add(Weight.CHANGED, where, why, "", quoted(value))
    return {key: value for key, value in values.items() if key in kept and value is not None}


def quoted(value: Any) -> str:
    """Return a value as JSON, for a remark."""
    return json.dumps(value, ensure_ascii=False, default=str)
