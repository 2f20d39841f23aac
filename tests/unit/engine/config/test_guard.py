"""An older engine leaves alone what a newer one wrote (operations.md §3.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.keeping.guard import OVERRIDE, newer_stamp, notice, refuse_older
from jobs.errors import StoreTooNew


def stamped(version: object) -> dict[str, object]:
    return {"meta": {"lastTouchedVersion": version}}


@pytest.mark.parametrize(
    ("stamp", "newer"),
    [
        ("0.5.0", True), ("0.4.1", False), ("0.4.0", False), ("0.4.10", True), ("0.4.2rc1", True),
        ("0.4.1.dev3", False), ("", False), ("banana", False), (7, False),
    ],
)  # fmt: skip
def test_versions_compare_as_versions(stamp: object, newer: bool) -> None:
    assert (newer_stamp(stamped(stamp), "0.4.1") is not None) is newer


def test_a_file_without_a_stamp_was_written_by_hand() -> None:
    nothing: tuple[object, ...] = ({}, {"meta": 1}, [], None)
    for values in nothing:
        refuse_older(values, {}, version="0.1")


def test_the_refusal_names_both_versions_and_the_program_to_use() -> None:
    with pytest.raises(StoreTooNew) as refused:
        refuse_older(stamped("0.5.0"), {}, version="0.4.1", newer=Path("/opt/new/engine"))
    assert refused.value.exit_status == 78
    assert str(refused.value).startswith(
        "this binary is 0.4.1 but the config was last written by 0.5.0 (/opt/new/engine). Fix PATH"
    )
    assert refused.value.fix == "/opt/new/engine gateway install --force"
    refuse_older(stamped("0.5.0"), {OVERRIDE: "1"}, version="0.4.1")
    assert "0.5.0" in (notice(stamped("0.5.0"), "0.4.1") or "")
