"""`engine heartbeat cost`: what beats cost, how budgets stand, and the month (§20)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.heartbeat.history import asked_for
from engine.cli.render import duration, show_table, stamp
from engine.clock import SystemClock
from jobs.wallclock import EPOCH, MILLISECOND, zone

_DAY = timedelta(days=1)


@click.command(epilog="Example: engine heartbeat cost --by day --since 7d")
@click.option(
    "--by",
    type=click.Choice(["agent", "day", "model", "beat"]),
    default="agent",
    show_default=True,
    help="What a line stands for.",
)
@click.option("--agent", "agent_id", metavar="ID", help="One agent.")
@click.option("--since", metavar="WHEN", help="A duration back (24h) or an instant; 30d if unset.")
@gateway_options()
def cost(line: Line, by: str, agent_id: str | None, since: str | None) -> None:
    """What beats cost in tokens and money, budgets of today, and the month by its end.

    Prices are those of models.providers; works with the gateway down.
    """
    wish = {"agent_id": agent_id, "since": since}
    params = {"by": by, **asked_for(wish, SystemClock().now(), line.place.zone)}
    with at_rest.reading(line) as asked:
        answer = asked.call("heartbeat.cost", params, timeout=line.timeout)
    if line.as_json:
        line.show(answer, str)
        return
    _table(answer, line)
    for words in _below(answer, line):
        click.echo(words)


def _table(answer: Mapping[str, Any], line: Line) -> None:
    rows = answer["rows"]
    if not rows:
        click.echo("No beat has asked a model in this time.")
        return
    where = zone(line.place.zone)
    name = str(answer["by"]).upper()
    lines = [(*_key(row, answer, where), *_figures(row)) for row in rows]
    total = answer["total"]
    if len(rows) > 1:
        blank = ("",) * (len(lines[0]) - 4)
        lines.append(("in all", *blank, *_figures(total)))
    head = ("AT", name, "MODEL") if answer["by"] == "beat" else (name,)
    show_table((*head, "BEATS", "TOKENS", "COST"), lines, keep=1)
    if total["unpriced"]:
        many = total["unpriced"]
        click.echo(f"{many} without a price: set cost of the model in models.providers")


def _key(row: Mapping[str, Any], answer: Mapping[str, Any], where: Any) -> tuple[str, ...]:
    if answer["by"] != "beat":
        return (str(row["key"]),)
    model = ", ".join(row["models"]) or "-"
    return stamp(row["lastAtMs"], where), str(row["key"]), model


def _figures(row: Mapping[str, Any]) -> tuple[str, str, str]:
    priced = row["unpriced"] < row["runs"]
    return str(row["runs"]), str(row["tokens"]), money(row["costUsd"]) if priced else "-"


def money(usd: float) -> str:
    """US dollars, with the digits a small sum needs."""
    return f"${usd:.2f}" if usd >= 1 or not usd else f"${usd:.4f}"


def _below(answer: Mapping[str, Any], line: Line) -> Iterator[str]:
    for agent in answer["agents"]:
        if (month := agent["month"]) is not None:
            yield _month_words(agent["agentId"], month, line)
        if (budget := agent["budget"]) is not None:
            yield _budget_words(agent["agentId"], budget)
    if (cheaper := answer["cheaper"]) is not None:
        was, would = money(cheaper["insteadOfUsd"]), money(cheaper["costUsd"])
        yield f"{cheaper['model']} would have cost {would} instead of {was}: {cheaper['fix']}"


def _month_words(agent: str, month: Mapping[str, Any], line: Line) -> str:
    end = (EPOCH + int(month["endMs"]) * MILLISECOND).astimezone(zone(line.place.zone)) - _DAY / 24
    spent = month["spent"]
    watched = duration(month["watchedMs"])
    if month["tokensInAll"] is None:
        priced = month["usdPerBeat"] is not None
        so_far = money(spent["costUsd"]) if priced else f"{spent['tokens']} tokens"
        known = f"its beats are known for {watched}, and a month is told from a day on"
        return f"{agent}: {so_far} this month; {known}"
    if month["usdInAll"] is None:
        so_far, in_all = f"{spent['tokens']} tokens", f"{month['tokensInAll']:.0f} tokens"
    else:
        so_far, in_all = money(spent["costUsd"]), money(month["usdInAll"])
    pace = f"at the pace of the last {watched}"
    return f"{agent}: {so_far} this month, about {in_all} by {end:%Y-%m-%d} {pace}"


def _budget_words(agent: str, budget: Mapping[str, Any]) -> str:
    told = budget.get("exhausted")
    if told:
        return f"{agent}: the budget is used up: {told}"
    limits, spent = budget["limits"], budget["spent"]
    parts = {
        "tokensPerDay": lambda limit: f"{spent['tokens']} of {limit} tokens",
        "costPerDay": lambda limit: f"{money(spent['costUsd'])} of {money(limit)}",
        "runsPerDay": lambda limit: f"{spent['runs']} of {limit} runs",
    }
    stands = ", ".join(parts[key](limit) for key, limit in limits.items())
    return f"{agent}: of today's budget {stands or 'nothing is limited'}"
