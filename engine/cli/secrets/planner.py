"""What the questions of `engine secrets configure` come to, and how a plan is carried out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from engine.cli.place import Place
from engine.config import fast
from engine.config.providers import Book, Unresolved
from engine.config.secrets import SecretRef
from engine.config.writing import put
from engine.security import moving, plaintext, secret_files
from engine.security.moving import Plan, Target
from jobs.errors import InvalidInput

_BOX = "secrets.json"


def asked(at: Place, *, providers_only: bool) -> Plan:
    """Ask where each plain secret of the config shall be kept."""
    providers = _providers(at)
    described: dict[str, dict[str, Any]] = {}
    if providers_only:
        while (alias := _ask("Provider to describe (empty: done)", "")) != "":
            described[alias] = _describe(alias)
        return Plan(providers=described)
    targets: list[Target] = []
    for spot in plaintext.spots(secret_files.looked(at.paths, at.environ).plain):
        if not plaintext.may_refer(spot.path):
            continue
        click.echo(f"{spot.path} stands in the config as it is.", err=True)
        source = _ask("Keep it in (file, env, exec, or leave)", "file")
        if source not in ("file", "env", "exec"):
            continue
        alias = _ask("Provider", "local" if source == "file" else source)
        if alias not in providers and alias not in described and source != "env":
            described[alias] = _describe(alias, source)
        targets.append(_target(spot.path, source, alias))
    return Plan(targets=tuple(targets), providers=described)


def _target(path: str, source: str, alias: str) -> Target:
    suggested = {"file": moving.pointer_of(path), "env": _variable(path), "exec": "value"}[source]
    ident = _ask("Id there", suggested)
    move = source == "file" and click.confirm("Move it there now?", default=True, err=True)
    return Target(path=path, ref={"source": source, "provider": alias, "id": ident}, move=move)


def _variable(path: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in path).strip("_").upper()


def _describe(alias: str, source: str = "") -> dict[str, Any]:
    source = source or _ask(f"Kind of {alias} (file, env, exec)", "file")
    match source:
        case "file":
            return {"source": "file", "path": _ask("Path of the file", _BOX)}
        case "exec":
            command = _ask("Absolute path of the program", "")
            return {"source": "exec", "command": command}
        case _:
            return {"source": "env"}


def _ask(question: str, default: str) -> str:
    return str(
        click.prompt(question, default=default, err=True, show_default=bool(default))
    ).strip()


def _providers(at: Place) -> Mapping[str, Any]:
    found = fast.get(at.values, "secrets.providers")
    return found if isinstance(found, dict) else {}


def write(path: Path, plan: Plan, now: datetime) -> None:
    """Write a plan for `engine secrets apply`."""
    put(path.absolute(), (json.dumps(plan.to_json(now), indent=2) + "\n").encode("utf-8"))


def carried_out(at: Place, plan: Plan, *, programs: bool, dry_run: bool = False) -> dict[str, Any]:
    """Follow every reference, write, scrub; nothing changes unless all of them lead somewhere."""
    from engine.cli.config.changing import perform, placed
    from engine.cli.config.ops import Op

    config, look = at.paths.config, secret_files.looked(at.paths, at.environ)
    values = {one.path: one.value for one in plaintext.spots(look.plain)}
    providers = {**_providers(at), **plan.providers}
    _refuse_lost(plan, look, providers, programs=programs, waiting=True)
    ops = [
        *(Op(f"secrets.providers.{alias}", dict(one)) for alias, one in plan.providers.items()),
        *(Op(one.path, dict(one.ref)) for one in plan.targets),
    ]
    by_file: dict[Path, list[Op]] = {}
    for op in ops:
        by_file.setdefault(placed(at, [op])[0], []).append(op)
    if dry_run:
        return _told(plan, (), dry_run=True)
    moving.moved(plan, values, providers, config.parent)
    _refuse_lost(plan, look, providers, programs=programs, waiting=False)
    for some in by_file.values():
        perform(at, some, replace=True)
    wanted = {one.path: dict(one.ref) for one in plan.targets}
    gone = [values[path] for path in wanted if path in values]
    copies = [copy for file in by_file for copy in secret_files.copies(file)]
    scrubbed = list(secret_files.scrub(copies, wanted, gone))
    used = secret_files.looked(at.paths, at.environ).used
    for file in dict.fromkeys((at.paths.env_file, config.parent / ".env")):
        if secret_files.scrub_env(file, gone, used):
            scrubbed.append(file)
    return _told(plan, scrubbed, dry_run=False)


def _refuse_lost(
    plan: Plan, look: secret_files.Look, providers: Any, *, programs: bool, waiting: bool
) -> None:
    """Refuse references that lead nowhere; what is still to be moved is not there yet."""
    plain = look.plain.get("secrets") if isinstance(look.plain, dict) else None
    section = {**(plain if isinstance(plain, dict) else {}), "providers": providers}
    book = Book.of(section, look.env, look.paths.config.parent, programs=programs)
    asked = [one for one in plan.targets if not (waiting and one.move)]
    refs = {one.path: _ref(one) for one in asked}
    found = book.look_up(list(refs.values()))
    lost = [
        f"{path}: {answer}"
        for path, ref in refs.items()
        if isinstance(answer := found[ref], Unresolved) and not answer.skipped
    ]
    if lost:
        raise InvalidInput(
            "the plan was not carried out",
            why="; ".join(lost),
            fix="put the secrets there first, then: engine secrets apply --from PLAN",
        )


def _ref(target: Target) -> SecretRef:
    ref = target.ref
    return SecretRef(ref["source"], str(ref.get("provider") or ""), ref["id"])


def _told(plan: Plan, scrubbed: Sequence[Path], *, dry_run: bool) -> dict[str, Any]:
    return {
        "ok": True,
        "dryRun": dry_run,
        "targets": [one.path for one in plan.targets],
        "providers": sorted(plan.providers),
        "scrubbed": [str(path) for path in scrubbed],
    }
