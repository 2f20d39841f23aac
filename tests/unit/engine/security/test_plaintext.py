"""What `engine secrets audit` finds, and what it leaves in peace (operations.md §5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config.paths import Paths, resolve
from engine.security import plaintext, secret_files
from engine.security.plaintext import Code

REF = "{source: 'env', id: 'BOT'}"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return resolve({"ENGINE_STATE_DIR": str(tmp_path)}, os_home=tmp_path)


def audited(paths: Paths, *, programs: bool = False, **env: str) -> plaintext.Audit:
    return secret_files.audit(paths, env, programs=programs)


def told(audit: plaintext.Audit) -> Iterator[tuple[str, str, str]]:
    return ((one.code.value, Path(one.file).name, one.path) for one in audit.flaws)


@pytest.mark.parametrize(
    ("config", "paths_found"),
    [
        ({"gateway": {"auth": {"token": "hush"}}}, ["gateway.auth.token"]),
        ({"gateway": {"auth": {"token": "${TOKEN}"}}}, []),
        ({"gateway": {"auth": {"token": "x-${TOKEN}"}}}, []),
        ({"gateway": {"auth": {"token": {"source": "env", "id": "T"}}}}, []),
        ({"gateway": {"auth": {"token": "__ENGINE_REDACTED__"}}}, []),
        ({"gateway": {"auth": {"mode": "token"}}}, []),
        (
            {"models": {"providers": {"x": {"headers": {"a": "hush"}}}}},
            ["models.providers.x.headers.a"],
        ),
        ({"channels": {"apprise": {"urls": ["ntfy://hush"]}}}, ["channels.apprise.urls[0]"]),
        ({"plugins": {"entries": {"x": {"apiKey": "hush"}}}}, ["plugins.entries.x.apiKey"]),
    ],
)
def test_a_secret_that_stands_there_as_it_is_is_found(
    config: dict[str, Any], paths_found: list[str]
) -> None:
    assert [one.path for one in plaintext.spots(config)] == paths_found
    assert "hush" not in str(list(plaintext.spots(config)))


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("gateway.auth.token", True),
        ("channels.telegram.accounts.a.botToken", True),
        ("models.providers.x.headers.authorization", True),
        ("channels.apprise.urls[0]", True),
        ("cron.jobs.x.deliver", False),
        ("gateway.port", False),
        ("plugins.entries.x.apiKey", False),
    ],
)
def test_a_reference_may_stand_where_a_secret_is_typed(path: str, may: bool) -> None:
    assert plaintext.may_refer(path) is may


def test_all_files_that_may_hold_one_are_looked_at(paths: Paths) -> None:
    plain = "{channels: {telegram: {botToken: 'hush-hush'}}}"
    paths.config.write_text("{$include: './part.json'}", "utf-8")
    names = ("part.json", "engine.json.bak", "engine.json.bak.1", "engine.json.last-good")
    for name in (*names, "engine.json.clobbered.20260101T000000Z"):
        (paths.state / name).write_text(plain, "utf-8")
    (paths.state / ".env").write_text("STRAY_TOKEN=hush-hush\nTELEGRAM_BOT_TOKEN=x\n", "utf-8")
    found = list(told(audited(paths)))
    assert {(code, file) for code, file, _ in found} == {
        ("PLAINTEXT_FOUND", name)
        for name in (*names, "engine.json.clobbered.20260101T000000Z", ".env")
    }
    assert "hush-hush" not in str(audited(paths).to_json())


def test_what_a_reference_replaced_is_a_residue_in_older_copies(paths: Paths) -> None:
    paths.config.write_text(f"{{channels: {{telegram: {{botToken: {REF}}}}}}}", "utf-8")
    (paths.state / "engine.json.bak").write_text(
        "{channels: {telegram: {botToken: 'hush'}}}", "utf-8"
    )
    audit = audited(paths, BOT="value")
    assert list(told(audit)) == [
        ("LEGACY_RESIDUE", "engine.json.bak", "channels.telegram.botToken")
    ]
    assert (audit.status, audit.refs_checked) == ("findings", 1)


def test_a_reference_that_leads_nowhere_is_the_worst(paths: Paths) -> None:
    paths.config.write_text(
        f"{{channels: {{telegram: {{botToken: {REF}}}}}, hooks: {{enabled: true, token: 'hush'}}}}",
        "utf-8",
    )
    audit = audited(paths)
    assert audit.status == "unresolved"
    assert [one.code for one in audit.flaws] == [Code.REF_UNRESOLVED, Code.PLAINTEXT_FOUND]


def test_a_reference_the_environment_overrides_is_told(paths: Paths) -> None:
    paths.config.write_text(f"{{gateway: {{auth: {{token: {REF}}}}}}}", "utf-8")
    ((code, _, path),) = told(audited(paths, ENGINE_GATEWAY_TOKEN="other"))
    assert (code, path) == ("REF_SHADOWED", "gateway.auth.token")


def test_programs_are_run_only_where_that_is_allowed(paths: Paths) -> None:
    ran = paths.state / "ran"
    program = paths.state / "vault"
    answer = '{"protocolVersion":1,"values":{"a":"v"}}'
    program.write_text(f"#!/bin/sh\ntouch {ran}\necho '{answer}'\n", "utf-8")
    program.chmod(0o700)
    paths.config.write_text(
        "{gateway: {auth: {token: {source: 'exec', provider: 'v', id: 'a'}}},"
        f" secrets: {{providers: {{v: {{source: 'exec', command: '{program}'}}}}}}}}",
        "utf-8",
    )
    audit = audited(paths)
    assert (audit.status, audit.skipped_exec_refs, ran.exists()) == ("clean", 1, False)
    audit = audited(paths, programs=True)
    assert (audit.refs_checked, audit.skipped_exec_refs, ran.exists()) == (1, 0, True)


def test_nothing_to_look_at_is_clean(paths: Paths) -> None:
    assert audited(paths).to_json()["status"] == "clean"


def test_a_secret_over_many_lines_leaves_env_with_all_of_them(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    key = "-----BEGIN KEY-----\nhush\n-----END KEY-----"
    env.write_text(f'# mine\nA=1\nexport BOT = "{key}"\nB=2\n')
    assert secret_files.scrub_env(env, [key], keep=["A"])
    assert env.read_text() == "# mine\nA=1\nB=2\n"
