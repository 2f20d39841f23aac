"""`engine doctor`: findings, the worst first; with `--fix` what was done (operations.md §10)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import click

from engine.cli import at_rest
from engine.cli.ask import GREETING_MS, Line, gateway_options
from engine.cli.doctor import checks, look, way
from engine.cli.doctor.catalogue import chosen, refuse_unknown
from engine.cli.doctor.facts import Facts
from engine.cli.doctor.finding import Finding, Severity
from engine.cli.doctor.fixes import Mended, generate_token, mend
from engine.cli.doctor.unheard import unheard
from engine.cli.ending import dumped
from engine.cli.why import commands as why
from engine.clock import SystemClock
from engine.why.after import LACKS
from jobs.errors import EngineError
from jobs.wallclock import ms

PROBE_MS: Final = 2_000
_LATELY: Final = timedelta(days=1)
_TOLD_BY_THE_WAY: Final = ("scheduler", "cron", "heartbeat", "runner", "channels", "delivery")
_ACCOUNT: Final = "heartbeat.account_ambiguous"
_ROUNDS: Final = 3
_MOST: Final = 20  # agents whose way is walked: the whole run has three seconds


@click.command("doctor", epilog="Example: engine doctor --fix")
@click.option("--fix", "--repair", "fix", is_flag=True, help="Mend what can be; copies are kept.")
@click.option("--force", is_flag=True, help="Overwrite a service that differs from ours.")
@click.option("--yes", is_flag=True, help="Services too, without asking.")
@click.option("--non-interactive", is_flag=True, help="Ask nothing; services stay as they are.")
@click.option("--deep", is_flag=True, help="Ask every platform too.")
@click.option("--lint", is_flag=True, help="Exit 1 for anything of --severity-min or worse.")
@click.option(
    "--severity-min",
    type=click.Choice([one.value for one in Severity]),
    default=Severity.WARN.value,
    show_default=True,
    help="What --lint minds.",
)
@click.option("--only", multiple=True, metavar="ID", help="Only this check, or group of checks.")
@click.option("--skip", multiple=True, metavar="ID", help="All but this one.")
@click.option("--generate-gateway-token", is_flag=True, help="Write a token if there is none.")
@click.option("--why-silent", is_flag=True, help="Why no message came: the same as `engine why`.")
@click.option("--agent", "agent_id", metavar="ID", help="Only this agent.")
@click.option("--channel", metavar="NAME", help="Only what concerns this channel.")
@gateway_options(timeout_ms=PROBE_MS, greeting_ms=GREETING_MS)
def command(line: Line, **given: Any) -> int:
    """What is wrong with this installation, and what mends it; works with everything down.

    Without --fix nothing is changed. Exit 1 if an error remains. More of the jobs:
    `engine cron doctor`.
    """
    if given["why_silent"]:
        return why.explain(line, given["agent_id"])
    refuse_unknown((*given["only"], *given["skip"]))
    if given["generate_gateway_token"]:
        words = generate_token(line.place)
        click.echo(dumped({"ok": True, "what": words}) if line.as_json else words)
        return 0
    findings = diagnosed(line, given)
    done: list[Mended] = []
    if given["fix"]:
        for _ in range(_ROUNDS):  # what was broken may have hidden something else
            mended = mend(line.place, findings, services=_may(given))
            done += mended
            line = replace(line, place=_fresh(line))
            findings = diagnosed(line, given)
            if not any(act.ok for act in mended):
                break
    if line.as_json:
        click.echo(dumped(_json(findings, done)))
    else:
        click.echo("\n".join(_words(findings, done)))
    return _status(findings, given)


def _fresh(line: Line) -> Any:
    """Return the same place, as it is by now."""
    from engine.cli.place import Place

    return Place(paths=line.place.paths, environ=line.place.environ, said=line.place.said)


def diagnosed(line: Line, given: dict[str, Any] | None = None) -> list[Finding]:
    """Return every finding, the worst first, as far as it is asked for."""
    asked = given or {}
    facts = look.facts(line, probe=bool(asked.get("deep")))
    only_agent = asked.get("agent_id")
    only, skip = tuple(asked.get("only") or ()), tuple(asked.get("skip") or ())
    found = checks.judged(facts)
    if not only or any(name.partition(".")[0] in _TOLD_BY_THE_WAY for name in only):
        found += _of_the_way(line, facts, only_agent)
        found += _of_words(line, only_agent)
    channel = asked.get("channel")
    kept = [one for one in _once(found) if chosen(one.id, only, skip)]
    if only_agent:
        kept = [one for one in kept if not one.agents or only_agent in one.agents]
    if channel:
        kept = [one for one in kept if channel in f"{one.id} {one.what}"]
    return sorted(kept, key=lambda one: one.severity.rank)


def _once(found: Sequence[Finding]) -> Iterator[Finding]:
    """Each thing once: an account nobody chose is told by the file and by the way.

    So is a model nobody knows. The way knows the command, where the file only has an editor.
    """
    seen: set[tuple[str, str]] = set()
    ambiguous = any(one.id == "channels.default_account_missing" for one in found)
    unknown = [one.what.partition(LACKS)[2] for one in found if LACKS in one.what]
    commands = {one.what.split(" ")[0]: one.fix for one in found if one.id == _ACCOUNT}
    for one in found:
        if one.id == _ACCOUNT and ambiguous:
            continue
        if one.id == "runner.model_unknown" and any(
            words in one.what and LACKS not in one.what for words in unknown
        ):
            continue
        if one.id == "channels.default_account_missing":
            one = replace(one, fix=commands.get(one.what.split(":")[0], one.fix))
        if (one.id, one.what) not in seen:
            seen.add((one.id, one.what))
            yield one


def _of_the_way(line: Line, facts: Facts, only: str | None) -> list[Finding]:
    """The links of every agent with beats; without a config there is no way to walk."""
    if facts.agents is None and line.at_home:
        return []
    beating = [one.id for one in facts.agents or ()][:_MOST]
    agents: Sequence[str | None] = [only] if only else beating or [None]
    try:
        return way.found([why.silence(line, one) for one in agents])
    except EngineError:
        return []


def _of_words(line: Line, only: str | None) -> list[Finding]:
    """Words nobody heard in the last day, where that can be told."""
    now = SystemClock().now()
    params = {"reason": "dropped", "state": "all", "sinceMs": ms(now - _LATELY), "limit": 1000}
    try:
        with at_rest.reading(replace(line, as_json=True)) as asked:  # silently
            dropped = list(asked.call("heartbeat.inbox", params).get("entries") or ())
            return [*unheard(asked, now, only), *way.swallowed(dropped, only=only)]
    except EngineError:
        return []  # why that is so is told by the checks


# -- what is said --------------------------------------------------------------------------------


def _may(given: dict[str, Any]) -> Any:
    """Whether a service may be touched; one that was edited by hand only with --force."""

    def services(finding: Finding) -> bool:
        if finding.id == "service.drift" and not given["force"]:
            return False
        if given["yes"]:
            return True
        if given["non_interactive"] or not sys.stdin.isatty():
            return False
        return click.confirm(f"{finding.what}. Mend it ({finding.fix})?", err=True)

    return services


def _status(findings: Sequence[Finding], given: dict[str, Any]) -> int:
    least = Severity(given["severity_min"]) if given["lint"] else Severity.ERROR
    return int(any(one.severity.rank <= least.rank for one in findings))


def _json(findings: Sequence[Finding], done: Sequence[Mended]) -> dict[str, Any]:
    counted = Counter(one.severity for one in findings)
    return {
        "schema": 1,
        "ok": not counted[Severity.ERROR],
        "summary": {one.value: counted[one] for one in Severity},
        "findings": [one.to_json() for one in findings],
        "fixed": [one.to_json() for one in done],
    }


def _words(findings: Sequence[Finding], done: Sequence[Mended]) -> Iterator[str]:
    for act in done:
        yield f"{'fixed' if act.ok else 'NOT fixed'}  {act.id}  {act.what}"
    for one in findings:
        whose = f" ({', '.join(one.agents)})" if one.agents else ""
        yield f"{one.severity:5}  {one.id}  {one.what}{whose}"
        yield f"       Fix: {one.fix}"
    counted = Counter(one.severity for one in findings)
    errors, warnings = counted[Severity.ERROR], counted[Severity.WARN]
    mended = sum(act.ok for act in done)
    yield (
        f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)},"
        f" {mended} fixed"
    )
