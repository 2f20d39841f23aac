"""Secret references."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config.issues import Issue
from engine.config.json5 import parse
from engine.config.resolve import Resolver, Unresolved, pointer

SAY = '#!/bin/sh\nprintf \'{"protocolVersion":1,"values":{"a/b":"from-program"}}\'\n'


def resolved(directory: Path, ref: str, providers: str = "{}") -> tuple[object, list[Issue]]:
    found: list[Issue] = []
    root = parse(f"{{x: {ref}, secrets: {{providers: {providers}}}}}").root
    tree = Resolver({"PATH": "/bin", "TOK": "v"}, directory).resolve(root, found)
    return tree.plain()["x"], found


def test_a_variable(tmp_path: Path) -> None:
    assert resolved(tmp_path, "{source: 'env', id: 'TOK'}") == ("v", [])
    _, found = resolved(
        tmp_path, "{source: 'env', id: 'TOK'}", "{env: {source: 'env', allowlist: []}}"
    )
    assert "allowlist" in found[0].message


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": {"b": "deep"}}))
    path.chmod(0o600)
    provider = "{f: {source: 'file', path: 's.json'}}"
    assert resolved(tmp_path, "{source: 'file', provider: 'f', id: '/a/b'}", provider) == (
        "deep",
        [],
    )
    path.chmod(0o622)
    _, found = resolved(tmp_path, "{source: 'file', provider: 'f', id: '/a/b'}", provider)
    assert "chmod go-w" in found[0].message


def test_a_program(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    path.write_text(SAY)
    path.chmod(0o700)
    provider = f"{{v: {{source: 'exec', command: '{path}'}}}}"
    ref = "{source: 'exec', provider: 'v', id: 'a/b'}"
    assert resolved(tmp_path, ref, provider) == ("from-program", [])
    _, found = resolved(tmp_path, "{source: 'exec', provider: 'v', id: 'zz'}", provider)
    assert found[0].message == "secret was not resolved: vault has no value for zz"


def test_a_pointer_leads_to_text_or_nowhere() -> None:
    assert pointer({"a/b": {"~": "x"}}, "/a~1b/~0") == "x"
    with pytest.raises(Unresolved):
        pointer({"a": 1}, "/a")
    with pytest.raises(Unresolved):
        pointer({}, "/a")
