"""Whole files and merge patches as edits of the config's text (protocol.md §10.7)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config.json5 import parse
from engine.config.masks import HIDDEN_ON_WIRE
from engine.config.merging import merged, restored
from jobs.errors import InvalidInput

TEXT = """{
  // mine
  gateway: { mode: "local", port: 1 },
  agents: { list: [{ id: "a", name: "A" }] },
}
"""


def plain(text: str) -> Any:
    return parse(text).root.plain()


@pytest.mark.parametrize(
    ("patch", "path", "value"),
    [
        ({"gateway": {"port": 2}}, ("gateway",), {"mode": "local", "port": 2}),
        ({"gateway": {"port": None}}, ("gateway",), {"mode": "local"}),
        ({"gateway": {"bind": "lan"}}, ("gateway", "bind"), "lan"),
        ({"gateway": {"nothing": None}}, ("gateway",), {"mode": "local", "port": 1}),
        ({"agents": {"list": []}}, ("agents", "list"), []),
        ({"new": {"a": 1, "b": None}}, ("new",), {"a": 1}),
        ({"env": {"a.b": "x"}}, ("env",), {"a.b": "x"}),
        ({"gateway": {"mode": HIDDEN_ON_WIRE}}, ("gateway", "mode"), "local"),
    ],
)
def test_a_merge_patch_changes_what_it_names(
    patch: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    text = merged(TEXT, patch)
    found = plain(text)
    for part in path:
        found = found[part]
    assert found == value
    assert "// mine" in text


def test_an_object_named_in_replace_paths_is_not_merged() -> None:
    text = merged(TEXT, {"gateway": {"mode": "remote"}}, whole=["gateway"])
    assert plain(text)["gateway"] == {"mode": "remote"}


def test_masked_secrets_come_back_also_in_lists_that_changed_their_order() -> None:
    before = {
        "token": "t-1",
        "list": [{"id": "a", "key": "k-a"}, {"id": "b", "key": "k-b"}],
        "plain": ["x", "s-2"],
    }
    raw = """{ token: "%s", // shown hidden
      list: [{ id: "b", key: "%s" }, { id: "a", key: "%s" }], plain: ["x", "%s"] }"""
    found = plain(restored(raw % ((HIDDEN_ON_WIRE,) * 4), before))
    assert found["token"] == "t-1"
    assert found["list"] == [{"id": "b", "key": "k-b"}, {"id": "a", "key": "k-a"}]
    assert found["plain"] == ["x", "s-2"]


def test_a_mask_where_there_is_no_secret_is_no_value() -> None:
    with pytest.raises(InvalidInput, match="hidden secret"):
        restored(f'{{ token: "{HIDDEN_ON_WIRE}" }}', {})
