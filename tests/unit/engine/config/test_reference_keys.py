"""Any key of the reference product loads here: what it means, or a note (operations.md §1.6)."""

from __future__ import annotations

from importlib import resources

import pytest

from engine.config.json5 import parse
from engine.config.walk import LEGACY, Walker

LIST = resources.files("engine.config").joinpath("reference_keys.tsv").read_text("utf-8")
ROWS = [row.split("\t")[0] for row in LIST.splitlines() if row and not row.startswith("#")]


def document(path: str) -> str:
    """A file with only this key; ids of maps are `x`, items of lists the first."""
    text = "null"
    for part in reversed(path.replace("[]", ".[]").split(".")):
        if part == "[]":
            text = f"[{text}]"
        else:
            text = f"{{ {'x' if part == '*' else repr(part)}: {text} }}"
    return text


@pytest.mark.parametrize("top", sorted({path.partition(".")[0] for path in ROWS}))
def test_no_key_of_the_reference_is_unknown(top: str) -> None:
    unknown = []
    for path in ROWS:
        if path.partition(".")[0] != top:
            continue
        walker = Walker()
        walker.prune(parse(document(path)).root)
        unknown += [issue.path for issue in walker.issues if issue.code == "unknown-key"]
    assert unknown == []


def test_what_is_no_longer_a_key_there_is_said_to_have_moved() -> None:
    assert not {".".join(map(str, key)) for key in LEGACY} & {path for path in ROWS if "." in path}
