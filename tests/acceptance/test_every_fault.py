"""P3 under every fault of the table, stops and kill -9: none lost, none repeated.

The same at full size, by hand: `python -m tests.soak.outbox`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.soak.outbox import LANES, Plan, soak
from tests.soak.outbox_proof import Proof, proven

UNKEYED, KEYED = LANES[0].route.lane, LANES[-1].route.lane


@pytest.mark.acceptance
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives are forked")
def test_of_accepted_messages_none_is_lost_and_none_is_shown_twice(tmp_path: Path) -> None:
    proof = soak(Plan(home=tmp_path, messages=150, seed=11, speed=1500), kills=4, every=0.3)
    assert proof.faults == (), str(proof)
    assert proof.accepted == 150
    assert proof.states["delivered"] > 75
    assert proof.states["unknown"] > 0
    assert proof.ends["killed"] + proof.ends["stopped"] >= 4


def row(key: str = "k", state: str = "delivered", lane: str = UNKEYED, **more: Any) -> Any:
    chunks = '["words"]'
    return {"id": 1, "key": key, "state": state, "lane": lane, "reason": "r", "chunks": chunks,
            "attempts": 1, **more}  # fmt: skip


def held(rows: list[Any], shown: list[list[Any]], accepted: tuple[str, ...] = ("k",)) -> Proof:
    return proven(accepted, rows, shown, LANES, {})


@pytest.mark.parametrize(
    ("rows", "shown", "fault"),
    [
        ([row()], [["k", 0, "words"]], ""),
        ([], [], "k was accepted and has 0 rows"),
        ([row(state="queued")], [], "k is still queued"),
        ([row(state="failed", reason=None)], [], "k is failed and nobody says why"),
        ([row()], [], "k is delivered, and parts [0] were never shown"),
        ([row()], [["k", 0, "words"]] * 2, "shown twice on an unkeyed lane"),
        ([row(lane=KEYED)], [["k", 0, "words"]] * 2, "shown twice on a keyed lane"),
        ([row(state="unknown")], [["k", 0, "words"]] * 2, "shown twice"),
        ([row(state="unknown")], [["k", 0, "words"]], ""),
        ([row(state="cancelled")], [["k", 0, "words"]], "k was cancelled and shown"),
        ([row(state="failed")], [["k", 0, "words"]], "k was shown whole and is failed"),
    ],
)
def test_the_proof_sees_what_is_wrong(rows: list[Any], shown: list[Any], fault: str) -> None:
    found = held(rows, shown).faults
    assert bool(found) == bool(fault)
    assert not fault or fault in found[0]


def test_the_proof_sees_who_overtook_whom() -> None:
    rows = [row("a"), row("b", id=2)]
    shown = [["b", 0, "words"], ["a", 0, "words"]]
    (fault,) = held(rows, shown, ("a", "b")).faults
    assert fault == "part 0 of a was shown after a later one of its lane"
