"""`--dry-run`: what a write would do, and whether its references lead anywhere (§3)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from engine.cli.config.difference import difference
from engine.cli.config.file import check, text_of
from engine.cli.config.ops import How, Op
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.config.json5 import Node
from engine.config.keypath import join
from engine.config.load import Loaded, environment
from jobs.errors import ConfigInvalid


def rehearse(
    at: Place,
    ops: Sequence[Op],
    file: Path,
    edit: Callable[[str], str],
    *,
    allow_exec: bool,
    as_json: bool,
) -> int:
    """Validate and resolve, print the difference, write nothing."""
    from engine.config import writing

    old = text_of(file)
    new = edit(old)
    report: dict[str, Any] = {
        "ok": True,
        "operations": len(ops),
        "configPath": str(at.paths.config),
        "inputModes": sorted({_mode(op) for op in ops}),
        "checks": {"schema": True, "resolvability": True, "resolvabilityComplete": True},
        "refsChecked": 0,
        "skippedExecRefs": 0,
    }
    try:
        loaded = check(at, {file: new.encode()})
    except ConfigInvalid as error:
        if not as_json:
            raise writing.unwritten(at.paths.config, error) from error
        checks = {"schema": False, "resolvability": False, "resolvabilityComplete": False}
        issues = error.detail.get("issues") or [{"path": "", "message": str(error)}]
        click.echo(dumped({**report, "ok": False, "checks": checks, "errors": issues}))
        return 1
    errors = _references(at, loaded, report, allow_exec=allow_exec)
    if as_json:
        told = {**report, "ok": not errors, **({"errors": errors} if errors else {})}
        click.echo(dumped(told))
        return 1 if errors else 0
    click.echo("\n".join(difference(old, new, file.name)) or "No change")
    for one in errors:
        click.echo(f"{one['path']}: {one['message']}", err=True)
    skipped = report["skippedExecRefs"]
    if skipped:
        click.echo(f"{skipped} exec references were not tried (--allow-exec tries them)", err=True)
    click.echo("valid; nothing was written" if not errors else "nothing was written", err=True)
    sys.stdout.flush()
    return 1 if errors else 0


def _mode(op: Op) -> str:
    if op.source in ("ref", "provider"):
        return "builder"
    if op.how is How.UNSET:
        return "unset"
    return "json" if op.typed is None else "value"


def _references(
    at: Place, loaded: Loaded, report: dict[str, Any], *, allow_exec: bool
) -> list[dict[str, Any]]:
    """Try the references of the new config; what is wrong with them."""
    from engine.config.issues import Issue
    from engine.config.resolve import Resolver

    root = loaded.root
    if root is None:
        return []
    found = list(_refs(root, ""))
    skipped = set() if allow_exec else {path for path, source in found if source == "exec"}
    env, _ = environment(at.environ, state=at.paths.state, cwd=Path.cwd())
    issues: list[Issue] = []
    Resolver(env, at.paths.config.parent).resolve(_without(root, "", skipped), issues)
    report["refsChecked"] = len(found) - len(skipped)
    report["skippedExecRefs"] = len(skipped)
    report["checks"]["resolvability"] = not issues
    report["checks"]["resolvabilityComplete"] = not skipped
    return [issue.to_json() for issue in issues]


def _refs(node: Node, path: str) -> Iterator[tuple[str, str]]:
    if path.startswith(("secrets", "cron.jobs")):
        return
    names = {member.key for member in node.members}
    if {"source", "id"} <= names <= {"source", "provider", "id"}:
        source = node.member("source")
        yield path, str(source.node.value) if source else ""
        return
    for member in node.members:
        yield from _refs(member.node, join(path, member.key))
    for number, item in enumerate(node.items):
        yield from _refs(item, join(path, number))


def _without(node: Node, path: str, gone: set[str]) -> Node:
    members = tuple(
        replace(one, node=_without(one.node, join(path, one.key), gone))
        for one in node.members
        if join(path, one.key) not in gone
    )
    items = tuple(_without(item, join(path, n), gone) for n, item in enumerate(node.items))
    return replace(node, members=members, items=items)
