"""`engine status`: the whole engine at a glance (operations.md §9.5, §9.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.cli.ask import GREETING_MS, Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.gateway.report.verdict import verdict
from engine.cli.status import words
from engine.cli.status.view import View, failing_parts, look, troubles


@click.command(epilog="Example: engine status")
@click.option("--all", "everything", is_flag=True, help="A report to paste; nothing secret in it.")
@click.option("--deep", is_flag=True, help="Ask every platform now.")
@click.option("--usage", is_flag=True, help="Tokens and cost of beats, agent by agent.")
@click.option("--out", type=click.Path(path_type=Path), help="With --all: write it to a file.")
@click.option("--zip", "bundle", type=click.Path(path_type=Path), help="--all and logs, packed.")
@gateway_options(timeout_ms=5_000, greeting_ms=GREETING_MS)
def status(
    line: Line,
    everything: bool,
    deep: bool,
    usage: bool,
    out: Path | None,
    bundle: Path | None,
) -> int:
    """The whole engine at a glance; tells what it can with the gateway down (exit 3)."""
    if everything or out is not None or bundle is not None:
        from engine.cli.status.paste import report

        return report(line, out=out, bundle=bundle)
    view = look(line, deep=deep, usage=usage)
    click.echo(dumped(_json(view)) if line.as_json else words.told(view, line))
    if view.down is not None:
        return view.down.exit_status
    return 1 if view.invalid is not None or failing_parts(view) or troubles(view) else 0


def _json(view: View) -> dict[str, Any]:
    code, said, fix = verdict(view.down, view.invalid, failing_parts(view), troubles(view))
    paths = view.place.paths
    answer: dict[str, Any] = {
        "schema": 1,
        "ok": code == "ok",
        "verdict": {"code": code, "message": said, "fix": fix},
        "config": {"path": str(paths.config), "valid": view.invalid is None},
        "stateDir": str(paths.state),
        "service": view.service,
        "linger": view.lingers,
        "security": {"warnings": view.security},
        **view.answers,
    }
    if view.down is not None:
        error = {"code": view.down.code, "message": str(view.down)}
        answer |= {"error": error, "gateway": view.down.detail.get("gateway")}
    return answer
