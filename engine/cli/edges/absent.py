"""What the reference has and this engine has not: said in a sentence, with what to do instead.

operations.md §1.1 (edge rows): exit status 0 where only the state was asked for.
"""

from __future__ import annotations

import click

from engine.cli.app import Group, here
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import facts, relative, show_table
from engine.clock import SystemClock
from jobs.errors import EngineError, NotFound


class NotBuilt(EngineError):
    """Asked for what this engine has not."""

    code = "feature_unavailable"


_NO_BROWSER = "not built in; configure an MCP or command-line tool that drives one"
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# -- browser ---------------------------------------------------------------------------------


@click.group(cls=Group, name="browser", epilog="Example: engine browser status")
def browser() -> None:
    """A browser for agents: not built in."""


@browser.command(epilog="Example: engine browser status --json")
@_AS_JSON
def status(as_json: bool) -> None:
    """Whether there is one."""
    told = {"state": "unavailable", "reason": _NO_BROWSER, "profiles": []}
    click.echo(dumped(told) if as_json else f"unavailable: {_NO_BROWSER}")


@browser.command(epilog="Example: engine browser profiles")
@_AS_JSON
def profiles(as_json: bool) -> None:
    """The profiles of it: none."""
    told = {"state": "unavailable", "reason": _NO_BROWSER, "profiles": []}
    click.echo(dumped(told) if as_json else f"no profile: {_NO_BROWSER}")


@browser.command(epilog="Example: engine browser start --browser-profile work")
@click.option("--browser-profile", metavar="NAME", help="Taken, and without effect.")
@_AS_JSON
def start(browser_profile: str | None, as_json: bool) -> None:  # noqa: ARG001 - refused whatever is asked
    """Refused: there is none to start."""
    raise NotBuilt(
        "no browser was started",
        why="it is not built in",
        fix="configure an MCP or command-line tool that drives one, and allow it in tools.exec",
    )


# -- nodes -----------------------------------------------------------------------------------


@click.group(cls=Group, name="nodes", epilog="Example: engine nodes status")
def nodes() -> None:
    """Phones and other machines that lend a camera or a screen: none can be paired yet."""


@nodes.command("status", epilog="Example: engine nodes status --json")
@gateway_options()
def nodes_status(line: Line) -> None:
    """Which are there."""
    answer = line.call("node.list")
    found = answer.get("nodes") or ()
    if line.as_json:
        click.echo(dumped(answer))
    elif not found:
        click.echo("No node is paired: this gateway takes none yet.")
    else:
        now = SystemClock().now()
        rows = [
            (one["nodeId"], one.get("displayName") or "-", relative(one.get("lastSeenAtMs"), now))
            for one in found
        ]
        show_table(("NODE", "NAME", "SEEN"), rows, keep=1)


@nodes.command(epilog="Example: engine nodes describe --node kitchen-ipad")
@click.option("--node", "ident", required=True, metavar="ID|NAME|IP")
@gateway_options()
def describe(line: Line, ident: str) -> None:
    """One of them."""
    answer = line.call("node.list")
    for one in answer.get("nodes") or ():
        if ident in (one.get("nodeId"), one.get("displayName"), one.get("remoteIp")):
            line.show(one, lambda told: facts({key: told[key] for key in told}))
            return
    raise NotFound(f"there is no node {ident}", fix="engine nodes status")


# -- names -----------------------------------------------------------------------------------


@click.group(cls=Group, name="dns", epilog="Example: engine dns setup")
def dns() -> None:
    """Being found beyond the local network: what to enter where."""


@dns.command(epilog="Example: engine dns setup --domain engine.internal --ip 100.64.0.5")
@click.option("--domain", default="engine.internal", show_default=True, help="Zone of your own.")
@click.option("--ip", default="100.64.0.5", show_default=True, help="The gateway's address there.")
@click.option("--apply", "do_it", is_flag=True, help="Refused: nothing is entered for you.")
@_AS_JSON
@click.pass_context
def setup(ctx: click.Context, domain: str, ip: str, do_it: bool, as_json: bool) -> None:
    """Print the records of the zone, and where the name has to be known."""
    port, _source = here(ctx).port()
    records = [
        f"gateway.{domain}. IN A {ip}",
        f"_engine-gw._tcp.{domain}. IN PTR gateway._engine-gw._tcp.{domain}.",
        f"gateway._engine-gw._tcp.{domain}. IN SRV 0 0 {port} gateway.{domain}.",
        f'gateway._engine-gw._tcp.{domain}. IN TXT "role=gateway" "gatewayPort={port}"',
    ]
    if do_it:
        raise NotBuilt(
            "nothing was changed",
            why="this engine runs no name server and edits none",
            fix="engine dns setup, and enter its records where the zone is kept",
        )
    steps = [
        "enter the records in the zone of a name server your machines reach",
        f"let them ask it for {domain} (split DNS of your VPN)",
        "engine gateway discover",
    ]
    if as_json:
        click.echo(dumped({"domain": domain, "records": records, "steps": steps}))
        return
    click.echo("\n".join([*records, "", *(f"{n}. {step}" for n, step in enumerate(steps, 1))]))
