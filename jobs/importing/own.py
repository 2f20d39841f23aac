"""Our own export as jobs again (`jobs.exporting.document`): the same jobs, without loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobs.errors import UnreadableSource
from jobs.importing import documents, past
from jobs.importing.report import Entry, Notes, Report, Weight, key_of, unique

KIND: Final = "engine"
FORMAT: Final = "engine-cron"


def is_ours(document: Any) -> bool:
    """Tell whether a JSON document is an export of ours."""
    return isinstance(document, Mapping) and document.get("format") == FORMAT


def read(document: Any, *, what: str = "the export") -> Report:
    """Return the jobs of an export; those of the config and of the system are remarks.

    Raises `UnreadableSource` for what is no export of ours.
    """
    if not is_ours(document):
        raise UnreadableSource(
            f"{what} cannot be read",
            why=f"it is no export of this engine: it does not say format {FORMAT}",
            fix="say what it is: engine cron import --from openclaw, or another",
        )
    notes = Notes()
    entries = []
    for number, row in enumerate(documents.listed_jobs(document, what)):
        where = f"jobs[{number}]"
        if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
            why = "it is no job with an id"
            notes.add(Weight.LEFT_OUT, where, why, "", documents.quoted(row))
            continue
        if row.get("source") in ("config", "system"):
            why = f"{row['id']} belongs to the {row['source']} there"
            fix = "engine cron export --format config, and put it into the config here"
            notes.add(Weight.LEFT_OUT, where, why, fix if row["source"] == "config" else "")
            continue
        job = {key: value for key, value in row.items() if key != "state"}
        state = row.get("state")
        told = dict(state) if isinstance(state, Mapping) else {}
        kept = {key: told[key] for key in past.STATE_KEYS & told.keys() if told[key] is not None}
        key = str(row.get("declarationKey") or key_of(KIND, row["id"]))
        entries.append(Entry(key=key, where=f"{where} ({row['id']})", job=job, state=kept))
    return Report(kind=KIND, entries=unique(entries, notes), remarks=notes.all)
