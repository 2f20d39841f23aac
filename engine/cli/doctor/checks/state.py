"""`state.*` (operations.md §10). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.facts import Facts, Reach, StateFacts
from engine.cli.doctor.finding import Act, Finding, Repair

LEAST: Final = 200 * 1024 * 1024  # bytes


def check(facts: Facts) -> Iterator[Finding]:
    """Tell what is wrong with the home and its database."""
    state = facts.state
    if not state.exists:
        yield finding(
            "state.missing",
            f"there is no state directory {state.path}",
            f"{facts.program} setup",
            repair=Repair(act=Act.SETUP),
        )
        return
    yield from _folder(state)
    yield from _database(facts)
    if state.free_bytes is not None and state.free_bytes < LEAST:
        left = state.free_bytes // (1024 * 1024)
        words = f"{left} MB are left on the disk of {state.path}: beats and messages need room"
        yield finding("state.disk_low", words, "elsewhere: free space on that disk")
    if state.dead_owner is not None:
        yield finding(
            "state.stale_lock",
            f"process {state.dead_owner} held {state.path} and died without a word",
            f"{facts.program} gateway",
        )


def _folder(state: StateFacts) -> Iterator[Finding]:
    if state.foreign_owner:
        yield finding(
            "state.perms",
            f"{state.path} belongs to {state.foreign_owner}",
            f'sudo chown -R "$USER" {state.path}',
        )
    if state.open_to_others:
        yield finding(
            "state.perms",
            f"{state.path} is open to others",
            f"chmod 700 {state.path}",
            repair=Repair(act=Act.CHMOD, subject=state.path, value=0o700),
        )
    if state.synced_by:
        yield finding(
            "state.synced_dir",
            f"{state.path} is synchronised by {state.synced_by}: two machines would write one"
            " database",
            "elsewhere: move it, and set ENGINE_STATE_DIR",
        )
    if state.sd_card:
        words = f"{state.path} lies on an SD card: slow, and worn out by a database"
        yield finding("state.sd_card", words, "elsewhere: move it, and set ENGINE_STATE_DIR")
    if state.others:
        yield finding(
            "state.two_dirs",
            f"{', '.join(state.others)} holds a config too: a command without ENGINE_STATE_DIR"
            " uses another home than this one",
            "elsewhere: keep one of them",
        )


def _database(facts: Facts) -> Iterator[Finding]:
    state = facts.state
    if state.damaged:
        words = f"the state database is damaged: {state.damaged}"
        yield finding("state.db_integrity", words, f"{facts.program} backup list")
    elif state.schema is not None and state.head is not None and state.schema > state.head:
        yield finding(
            "state.db_schema",
            f"the state database has schema {state.schema}, written by a newer engine; this one"
            f" knows {state.head}",
            "elsewhere: start the newer engine again",
        )
    elif state.schema is not None and state.head is not None and state.schema < state.head:
        yield finding(
            "state.db_schema",
            f"the state database has schema {state.schema}, this engine's is {state.head}",
            f"{facts.program} gateway",
            repair=None if facts.gateway.reach is Reach.OK else Repair(act=Act.MIGRATE),
        )
    if state.orphans:
        yield finding(
            "state.orphan_runs",
            f"{state.orphans} runs are open that no process performs",
            f"{facts.program} gateway",
            repair=Repair(act=Act.INTERRUPT_RUNS),
        )
