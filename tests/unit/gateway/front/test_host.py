"""The log as other products' command lines read it (protocol.md §10.1, `logs.tail`)."""

from __future__ import annotations

import json

import pytest

from gateway.front.host import shown


@pytest.mark.parametrize("line", ["no JSON", "[1]"])
def test_what_is_no_record_isshown_as_it_is(line: str) -> None:
    assert shown(line) == line


def test_a_line_has_the_names_other_command_lines_read() -> None:
    said = {"ts": "2026-03-02T12:00:00Z", "level": "warn", "subsystem": "x", "msg": "hm"}
    line = json.loads(shown(json.dumps(said)))
    assert line["_meta"] == {"logLevelName": "WARN", "name": "x"}
    assert (line["0"], line["time"], line["msg"]) == ("hm", said["ts"], "hm")
