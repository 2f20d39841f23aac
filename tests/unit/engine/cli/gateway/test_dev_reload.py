"""`engine gateway run --dev-reload` sees what changed in the sources (operations.md §1.1)."""

from __future__ import annotations

from pathlib import Path

from engine.cli.gateway.dev_reload import changed, stamps


def test_what_came_went_or_was_written_is_a_change_and_nothing_else(tmp_path: Path) -> None:
    one, other = tmp_path / "engine" / "a.py", tmp_path / "jobs" / "b.py"
    for path in (one, other):
        path.parent.mkdir()
        path.write_text("x = 1\n")
    (tmp_path / "engine" / "README.md").write_text("no source")
    before = stamps(tmp_path)
    assert before.keys() == {one, other}
    assert changed(before, stamps(tmp_path)) == []
    other.unlink()
    (tmp_path / "gateway").mkdir()
    new = tmp_path / "gateway" / "c.py"
    new.write_text("y = 2\n")
    assert changed(before, stamps(tmp_path)) == [new, other]
    assert changed({one: 1}, {one: 2}) == [one]
