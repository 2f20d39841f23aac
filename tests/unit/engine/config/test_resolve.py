"""Secret references: the table of operations.md §5, provider by provider, limit by limit."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from engine.config.issues import Issue
from engine.config.json5 import parse
from engine.config.load import load
from engine.config.providers import Unresolved
from engine.config.providers.file import pointer
from engine.config.resolve import Resolver
from jobs.errors import ConfigInvalid

ENV: Final = {"PATH": "/usr/bin:/bin", "TOK": "v", "EMPTY": "", "OTHER": "o"}
PROGRAM: Final = """#!{python}
import json, os, sys
ask = json.loads(sys.stdin.read())
with open({log!r}, "a") as log:
    log.write(json.dumps([ask, sorted(os.environ), os.environ.get("PASSED")]) + "\\n")
values = {{"a/b": "from-program", "c": "too"}}
print(json.dumps({{
    "protocolVersion": 1,
    "values": {{one: values[one] for one in ask["ids"] if one in values}},
    "errors": {{one: {{"message": "no such item"}} for one in ask["ids"] if one not in values}},
}}))
"""


def resolved(
    directory: Path, refs: Any, providers: Any = None, **secrets: Any
) -> tuple[Any, list[str]]:
    """What stands at `x` then, and what is wrong."""
    found: list[Issue] = []
    config = {"x": refs, "secrets": {"providers": providers or {}, **secrets}}
    tree = Resolver(ENV, directory).resolve(parse(json.dumps(config)).root, found)
    return tree.plain()["x"], [one.message for one in found]


def env(ident: str, provider: str = "") -> dict[str, str]:
    return {"source": "env", "id": ident, **({"provider": provider} if provider else {})}


def of_file(ident: str) -> dict[str, str]:
    return {"source": "file", "provider": "f", "id": ident}


def of_program(ident: str) -> dict[str, str]:
    return {"source": "exec", "provider": "v", "id": ident}


def box(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "s.json"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def program(directory: Path, text: str = PROGRAM, name: str = "vault", mode: int = 0o700) -> Path:
    path = directory / name
    path.write_text(text.format(python=sys.executable, log=str(directory / "log")), "utf-8")
    path.chmod(mode)
    return path


def asked(directory: Path) -> list[Any]:
    log = directory / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# -- env -------------------------------------------------------------------------------------


def test_a_variable_is_read(tmp_path: Path) -> None:
    assert resolved(tmp_path, env("TOK")) == ("v", [])
    assert resolved(tmp_path, env("TOK", "mine"), {"mine": {"source": "env"}}) == ("v", [])


@pytest.mark.parametrize(
    ("ref", "providers", "why"),
    [
        (env("EMPTY"), {}, "variable EMPTY is not set"),
        (env("NONE"), {}, "variable NONE is not set"),
        (env("tok"), {}, "capital letters"),
        (env("A" * 129), {}, "capital letters"),
        (env("TOK", "Mine"), {}, "no name of a provider"),
        (env("TOK"), {"env": {"source": "env", "allowlist": ["OTHER"]}}, "not in the allowlist"),
        (env("TOK", "f"), {"f": {"source": "file", "path": "x"}}, "not of kind env"),
        ({"source": "file", "provider": "nobody", "id": "/a"}, {}, "no secrets.providers.nobody"),
    ],
)
def test_a_variable_is_refused_with_its_reason(
    tmp_path: Path, ref: Any, providers: Any, why: str
) -> None:
    _, (said,) = resolved(tmp_path, ref, providers)
    assert said.startswith("secret env:" if ref["source"] == "env" else "secret file:")
    assert why in said


def test_a_default_names_the_provider_that_a_reference_leaves_out(tmp_path: Path) -> None:
    only = {"vault": {"source": "env", "allowlist": ["OTHER"]}}
    _, (said,) = resolved(tmp_path, env("TOK"), only, defaults={"env": "vault"})
    assert "allowlist of vault" in said


# -- file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ident", "value"), [("/a/b", "deep"), ("/a~1b/~0", "odd"), ("/list/1", "two")]
)
def test_a_pointer_leads_into_a_file(tmp_path: Path, ident: str, value: str) -> None:
    box(tmp_path, json.dumps({"a": {"b": "deep"}, "a/b": {"~": "odd"}, "list": ["one", "two"]}))
    provider = {"f": {"source": "file", "path": "s.json"}}
    assert resolved(tmp_path, of_file(ident), provider) == (value, [])


def test_a_file_may_be_one_secret(tmp_path: Path) -> None:
    box(tmp_path, "  whole\n")
    provider = {"f": {"source": "file", "path": "s.json", "mode": "singleValue"}}
    assert resolved(tmp_path, of_file("value"), provider) == ("whole", [])
    _, (said,) = resolved(tmp_path, of_file("/a"), provider)
    assert 'is not "value"' in said


@pytest.mark.parametrize(
    ("text", "mode", "ident", "keys", "why"),
    [
        ('{"a": "v"}', 0o600, "a", {}, "is not a JSON pointer"),
        ('{"a": "v"}', 0o600, "/a~2", {}, "is not a JSON pointer"),
        ('{"a": "v"}', 0o600, "/b", {}, "nothing at /b"),
        ('{"a": 1}', 0o600, "/a", {}, "no text at /a"),
        ('{"a": ""}', 0o600, "/a", {}, "no text at /a"),
        ("hush-hush", 0o600, "/a", {}, "is not JSON"),
        ('{"a": "v"}', 0o620, "/a", {}, "chmod go-w"),
        ('{"a": "v"}', 0o602, "/a", {}, "chmod go-w"),
        ('{"a": "v"}', 0o600, "/a", {"maxBytes": 5}, "larger than 5 bytes"),
    ],
)
def test_a_file_is_refused_with_its_reason_and_without_its_words(
    tmp_path: Path, text: str, mode: int, ident: str, keys: Any, why: str
) -> None:
    box(tmp_path, text, mode)
    _, (said,) = resolved(
        tmp_path, of_file(ident), {"f": {"source": "file", "path": "s.json", **keys}}
    )
    assert why in said
    assert "hush-hush" not in said


def test_a_file_others_may_write_is_read_where_that_is_allowed(tmp_path: Path) -> None:
    box(tmp_path, '{"a": "v"}', 0o622)
    provider = {"f": {"source": "file", "path": "s.json", "allowInsecurePath": True}}
    assert resolved(tmp_path, of_file("/a"), provider) == ("v", [])


def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.json", 0o600)
    _, (said,) = resolved(tmp_path, of_file("/a"), {"f": {"source": "file", "path": "s.json"}})
    assert "not a regular file" in said


# -- exec ------------------------------------------------------------------------------------


def test_a_program_is_asked_once_for_all_and_gets_what_is_passed_on(tmp_path: Path) -> None:
    command = str(program(tmp_path))
    keys = {"passEnv": ["TOK", "GONE"], "env": {"PASSED": "on"}}
    refs = [of_program("a/b"), of_program("c"), of_program("a/b")]
    provider = {"v": {"source": "exec", "command": command, **keys}}
    assert resolved(tmp_path, refs, provider) == (["from-program", "too", "from-program"], [])
    ((ask, names, passed),) = asked(tmp_path)
    assert ask == {"protocolVersion": 1, "provider": "v", "ids": ["a/b", "c"]}
    assert {"PATH", "TOK", "PASSED"} <= set(names)
    assert "OTHER" not in names
    assert "HOME" not in names
    assert passed == "on"


def test_a_request_is_no_larger_than_the_limit(tmp_path: Path) -> None:
    command = str(program(tmp_path))
    provider = {"v": {"source": "exec", "command": command}}
    limit = {"maxBatchBytes": 56}
    values, wrong = resolved(
        tmp_path, [of_program("a/b"), of_program("c")], provider, resolution=limit
    )
    assert (values, wrong) == (["from-program", "too"], [])
    assert [ask["ids"] for ask, _, _ in asked(tmp_path)] == [["a/b"], ["c"]]
    _, (said,) = resolved(tmp_path, of_program("x" * 60), provider, resolution=limit)
    assert "maxBatchBytes" in said


def test_there_is_a_limit_on_references_of_a_provider(tmp_path: Path) -> None:
    _, wrong = resolved(tmp_path, [env("TOK"), env("OTHER")], resolution={"maxRefsPerProvider": 1})
    assert len(wrong) == 2
    assert "maxRefsPerProvider is 1" in wrong[0]


@pytest.mark.parametrize(
    ("text", "ident", "keys", "why"),
    [
        (PROGRAM, "zz", {}, "vault has no value for zz: no such item"),
        (PROGRAM, "../x", {}, "is not letters"),
        (PROGRAM, "a/./x", {}, "is not letters"),
        (PROGRAM, "-x", {}, "is not letters"),
        (PROGRAM, "a/b", {"trustedDirs": ["/opt/none"]}, "lies in none of trustedDirs"),
        ("#!/bin/sh\necho hush-hush; exit 3\n", "a", {}, "vault ended with status 3"),
        ("#!/bin/sh\necho hush-hush\n", "a", {}, "vault did not answer in JSON"),
        (
            "#!/bin/sh\nhead -c 400000 /dev/zero | tr '\\0' '['\n",
            "a",
            {},
            "vault did not answer in JSON",
        ),
        ("#!/bin/sh\necho hush-hush >&2; echo 7\n", "a", {}, "does not speak protocolVersion 1"),
        ("#!/bin/sh\necho '{{\"values\":{{}}}}'\n", "a", {}, "does not speak protocolVersion 1"),
        ("#!/bin/sh\necho hush-hush\n", "a", {"maxOutputBytes": 4}, "said more than 4 bytes"),
        ("#!/bin/sh\nsleep 9\n", "a", {"timeoutMs": 80}, "did not answer within 80 ms"),
        (
            "#!/bin/sh\nsleep 9\n",
            "a",
            {"noOutputTimeoutMs": 80},
            "did not say anything within 80 ms",
        ),
        ("#!/bin/sh\n", "a", {"jsonOnly": False}, 'is not "value"'),
        ("#!/bin/sh\n", "value", {"jsonOnly": False}, "printed nothing"),
        ("#!/none/such\n", "a", {}, "cannot be started"),
    ],
)
def test_a_program_is_refused_with_its_reason_and_without_its_words(
    tmp_path: Path, text: str, ident: str, keys: Any, why: str
) -> None:
    command = str(program(tmp_path, text))
    _, (said,) = resolved(
        tmp_path, of_program(ident), {"v": {"source": "exec", "command": command, **keys}}
    )
    assert why in said
    assert "hush-hush" not in said


def test_a_program_may_print_the_secret_itself(tmp_path: Path) -> None:
    command = str(program(tmp_path, "#!/bin/sh\nread x; printf '  %s\\n' \"$1\"\n"))
    keys = {"jsonOnly": False, "args": ["shown once"]}
    provider = {"v": {"source": "exec", "command": command, **keys}}
    assert resolved(tmp_path, of_program("value"), provider) == ("shown once", [])


def test_a_command_line_is_no_shell(tmp_path: Path) -> None:
    command = str(program(tmp_path, "#!/bin/sh\nprintf '%s' \"$1\"\n"))
    keys = {"jsonOnly": False, "args": ["$TOK; echo `id`"], "passEnv": ["TOK"]}
    provider = {"v": {"source": "exec", "command": command, **keys}}
    assert resolved(tmp_path, of_program("value"), provider) == ("$TOK; echo `id`", [])


@pytest.mark.parametrize(
    ("keys", "works"),
    [
        ({}, "is a symlink"),
        ({"allowSymlinkCommand": True}, "none of trustedDirs"),
        ({"allowSymlinkCommand": True, "trustedDirs": ["HERE"]}, ""),
    ],
)
def test_a_symlink_is_followed_only_into_a_trusted_folder(
    tmp_path: Path, keys: dict[str, Any], works: str
) -> None:
    real = program(tmp_path, name="real")
    link = tmp_path / "link"
    link.symlink_to(real)
    if "trustedDirs" in keys:
        keys = {**keys, "trustedDirs": [str(tmp_path)]}
    value, wrong = resolved(
        tmp_path, of_program("c"), {"v": {"source": "exec", "command": str(link), **keys}}
    )
    assert (value == "too") is not bool(works)
    assert all(works in one for one in wrong)


@pytest.mark.parametrize("command", ["vault", "./vault", "/none/such/vault"])
def test_only_a_program_with_its_whole_path_is_run(tmp_path: Path, command: str) -> None:
    program(tmp_path)
    _, (said,) = resolved(tmp_path, of_program("c"), {"v": {"source": "exec", "command": command}})
    assert "is not an absolute path" in said or "is not there" in said


def test_a_program_others_may_write_is_not_run(tmp_path: Path) -> None:
    command = str(program(tmp_path, mode=0o722))
    provider = {"source": "exec", "command": command}
    _, (said,) = resolved(tmp_path, of_program("c"), {"v": provider})
    assert "can be written by others" in said
    allowed = {"v": {**provider, "allowInsecurePath": True}}
    assert resolved(tmp_path, of_program("c"), allowed) == ("too", [])


# -- all of them -----------------------------------------------------------------------------


def test_what_is_off_is_not_asked_for_and_that_is_told(tmp_path: Path) -> None:
    ref = {"source": "env", "id": "NOT_THERE"}
    config = {
        "gateway": {
            "auth": {"mode": "token", "token": env("TOK"), "password": ref},
            "remote": {"token": ref},
        },
        "hooks": {"token": ref},
        "channels": {"telegram": {"accounts": {"a": {"enabled": False, "botToken": ref}}}},
    }
    found = load(
        tmp_path / "engine.json",
        ENV,
        raw=json.dumps(config).encode(),
        resolve_secrets=True,
    )
    notes = {
        one.path: one.message
        for one in found.notes
        if one.code == "SECRETS_REF_IGNORED_INACTIVE_SURFACE"
    }
    assert notes.keys() == {
        "gateway.auth.password",
        "gateway.remote.token",
        "hooks.token",
        "channels.telegram.accounts.a.botToken",
    }
    assert "gateway.auth.mode is token" in notes["gateway.auth.password"]


def test_every_reference_that_failed_is_listed_and_no_value_is(tmp_path: Path) -> None:
    config = {
        "gateway": {"auth": {"token": env("TOK")}},
        "channels": {"telegram": {"botToken": env("NONE")}, "qqbot": {"clientSecret": env("LOST")}},
    }
    with pytest.raises(ConfigInvalid) as refused:
        load(
            tmp_path / "engine.json",
            {"TOK": "the-good-one"},
            raw=json.dumps(config).encode(),
            resolve_secrets=True,
        )
    said = str(refused.value)
    assert "channels.telegram.botToken" in said
    assert "channels.qqbot.clientSecret" in said
    assert "the-good-one" not in said
    assert refused.value.exit_status == 78


def test_a_reference_wins_over_a_plain_secret_wherever_that_stands(tmp_path: Path) -> None:
    (tmp_path / "plain.json").write_text("{botToken: 'plain-plain'}", "utf-8")
    text = (
        "{channels: {telegram: {$include: './plain.json', botToken: {source: 'env', id: 'TOK'}}}}"
    )
    other = "{channels: {telegram: {$include: ['./ref.json', './plain.json']}}}"
    (tmp_path / "ref.json").write_text("{botToken: {source: 'env', id: 'TOK'}}", "utf-8")
    for one in (text, other):
        found = load(tmp_path / "engine.json", ENV, raw=one.encode(), resolve_secrets=True)
        assert found.config.channels.telegram is not None
        assert found.config.channels.telegram.bot_token is not None
        assert found.config.channels.telegram.bot_token.reveal() == "v"
        (note,) = [n for n in found.notes if n.code == "SECRETS_REF_OVERRIDES_PLAINTEXT"]
        assert (note.path, note.level) == ("channels.telegram.botToken", "warning")
        assert "plain-plain" not in note.message


def test_a_pointer_leads_to_text_or_nowhere() -> None:
    assert pointer({"a/b": {"~": "x"}}, "/a~1b/~0") == "x"
    with pytest.raises(Unresolved):
        pointer({}, "/a")
