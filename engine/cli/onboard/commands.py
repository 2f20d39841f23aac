"""`engine onboard`, alias `configure` (operations.md §1.1)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.onboard import files, interview, proof, tries, wishes as wish
from engine.cli.onboard.questions import Asker, say
from engine.cli.onboard.wishes import Cost, Wishes
from engine.cli.place import Place
from engine.config.setup import minimal_config_text
from engine.config.starters import MODELS, STARTERS
from jobs.errors import EngineError, UsageError

if TYPE_CHECKING:
    from engine.config.load import Loaded

_FORMS: Final = "As typed, env:NAME, or ref:SOURCE:PROVIDER:ID."


class TryFailed(EngineError):
    """A model or a bot that was named does not work."""

    code = "try-failed"


@click.command(epilog="Example: engine onboard --non-interactive --channel local --no-service")
@click.option("--agent", metavar="ID", help="Agent to set up; main if there is none yet.")
@click.option("--name", metavar="NAME", help="What people call it.")
@click.option("--provider", type=click.Choice([*MODELS]), help="Who answers.")
@click.option("--model", metavar="NAME", help="Model of the provider.")
@click.option("--base-url", metavar="URL", help="Server of the model.")
@click.option("--api-key", metavar="KEY", help=f"Key of the provider. {_FORMS}")
@click.option("--channel", type=click.Choice([*STARTERS]), help="Over what you talk to it.")
@click.option("--account", metavar="ID", help="Account of the channel, where there are several.")
@click.option("--default-account", metavar="ID", help="Account that sends when nothing names one.")
@click.option("--owner", metavar="ID", help="Your own id on the channel: let in, and tested with.")
@click.option("--bot-token", metavar="TOKEN", help=f"telegram: the bot's. {_FORMS}")
@click.option("--app-id", metavar="ID", help="qqbot: AppID.")
@click.option("--client-secret", metavar="SECRET", help=f"qqbot: AppSecret. {_FORMS}")
@click.option("--webhook-url", metavar="URL", help=f"webhook: the address. {_FORMS}")
@click.option("--apprise-url", metavar="URL", help=f"apprise: the address. {_FORMS}")
@click.option("--plain", is_flag=True, help="Secrets into the config itself, not into .env.")
@click.option("--every", metavar="DURATION", help="A beat so often; 30m.")
@click.option("--active-hours", metavar="HH:MM-HH:MM", help="Beats inside these hours; or always.")
@click.option("--target", metavar="WHERE", help="Where the words of beats go; last.")
@click.option("--service/--no-service", default=None, help="Make the gateway a service.")
@click.option("--linger/--no-linger", default=True, help="The service outlives your log-out.")
@click.option("--start/--no-start", default=None, help="Start the gateway.")
@click.option("--test/--no-test", "test", default=None, help="Send a test message.")
@click.option("--probe/--no-probe", default=True, help="Try model and channel before writing.")
@click.option("--non-interactive", is_flag=True, help="Ask nothing: flags, else what is usual.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; asks nothing.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Set up agent, model, channel, beats and service; ends with a test message.

    What is configured stays unless you say otherwise. Nothing is written before every answer
    was judged, the model has answered and the platform knows the bot.
    """
    at = here(ctx)
    as_json = bool(given.pop("as_json"))
    asks = not (given.pop("non_interactive") or as_json)
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nothing was set up",
            why="there is no terminal to ask at",
            fix="engine onboard --non-interactive --channel local",
        )
    flags = {name.replace("_", "-"): value for name, value in given.items()}
    run = _Run(ctx, at, Asker(given=flags, by_hand=asks), as_json)
    report = run.all()
    if as_json:
        click.echo(dumped(report))
    return 0 if report["ok"] else 1


@dataclass
class _Run:
    """One onboarding: asked, tried, written, proved."""

    ctx: click.Context
    at: Place
    asker: Asker
    as_json: bool
    tried: dict[str, Any] = field(default_factory=dict)

    def all(self) -> dict[str, Any]:
        """Do it; returns the report."""
        from engine.cli.config.file import check

        if self.at.paths.config.exists():
            check(self.at)  # what cannot be used is not built upon
        wishes = self._asked()
        loaded = self._loaded(wishes)
        cost = self._cost(loaded)
        say(f"Beats: {cost.words}.")
        service, starts, tests = self._ending()
        done = self._write(wishes, loaded)
        report: dict[str, Any] = {
            "agent": wishes.agent,
            "files": done.files,
            "probes": self.tried,
            "cost": cost.to_json(),
        }
        for path, state in done.files.items():
            say(f"{state.ljust(7)} {path}")
        return report | self._prove(wishes, done, service=service, starts=starts, tests=tests)

    # -- asked ---------------------------------------------------------------------------

    def _asked(self) -> Wishes:
        at, asker = self.at, self.asker
        known = Wishes(agent=interview.agent(asker, at), name=asker.given.get("name"))
        known = self._part(known, lambda: replace(known, model=interview.model(asker, at)), "model")
        known = self._part(
            known, lambda: replace(known, channel=interview.channel(asker, at)), "channel"
        )
        return replace(known, beat=interview.beat(asker, at, known.channel))

    def _part(self, known: Wishes, ask: Callable[[], Wishes], what: str) -> Wishes:
        """Ask for one part and try it; a person may answer again."""
        while True:
            told = ask()
            wanted = getattr(told, what)
            if wanted is None or not self.asker.given["probe"]:
                return told
            tried = self._tried(told, what)
            self.tried[what] = tried.to_json()
            if tried.ok:
                say(f"  {tried.detail}.")
                return told
            if not self.asker.by_hand:
                raise TryFailed(
                    "nothing was set up", why=tried.detail, fix=tried.fix or "--no-probe"
                )
            say(f"  {tried.detail}." + (f" Fix: {tried.fix}" if tried.fix else ""))
            if not click.confirm("Answer again?", default=True, err=True):
                return known if not click.confirm(
                    "Set it up all the same?", default=False, err=True
                ) else told  # fmt: skip

    def _tried(self, wishes: Wishes, what: str) -> tries.Tried:
        loaded = self._loaded(wishes, resolve=True)
        if what == "model" and wishes.model is not None:
            say(f"  Asking {wishes.model.ref} …")
            return tries.model(loaded, wishes.model.ref, self.at.paths.config.parent)
        if wishes.channel is None:
            raise AssertionError("only what was wished for is tried")
        account = wishes.channel.account or "default"
        say(f"  Asking {wishes.channel.name} …")
        return tries.channel(loaded, wishes.channel.name, account, self._env(wishes))

    def _ending(self) -> tuple[bool, bool, bool]:
        """Whether it becomes a service, whether it is started, whether a message is sent."""
        why_not = proof.no_service(self.ctx, self.at)
        asker = self.asker
        if why_not is not None and asker.given.get("service"):
            raise UsageError(
                "nothing was set up",
                why=why_not.why or why_not.what,
                fix="leave --service out, or give --no-service",
            )
        if why_not is not None and asker.given.get("service") is None:
            say(f"No service: {why_not.why or why_not.what}. It can run in the background instead.")
        service = why_not is None and (
            proof.installed(self.at)
            or asker.yes("service", "Make the gateway a service of this machine?", default=True)
        )
        starts = service or asker.yes("start", "Start the gateway now?", default=True)
        tests = (starts or self.at.owner is not None) and asker.yes(
            "test", "Send a test message?", default=True
        )
        return service, starts, tests

    # -- judged and written --------------------------------------------------------------

    def _text(self, wishes: Wishes) -> str:
        path = self.at.paths.config
        text = path.read_text("utf-8") if path.exists() else minimal_config_text()
        return wish.applied(wishes, text, self.at.values)

    def _env(self, wishes: Wishes) -> dict[str, str]:
        return {**wishes.env, **interview.variables(self.at)} | {
            # What was typed goes before what `.env` still says; the shell goes before both.
            name: value
            for name, value in wishes.env.items()
            if name not in self.at.environ
        }

    def _loaded(self, wishes: Wishes, *, resolve: bool = False) -> Loaded:
        """Return the config as it would be, judged whole; `ConfigInvalid` if it cannot be used."""
        from engine.config.load import load

        return load(
            self.at.paths.config,
            self._env(wishes),
            state=self.at.paths.state,
            home=self.at.paths.os_home,
            raw=self._text(wishes).encode(),
            resolve_secrets=resolve,
            credentials=True,
        )

    def _cost(self, loaded: Loaded) -> Cost:
        from engine.roster.profiles import roster_of

        roster = roster_of(loaded.config, self.at.paths, self.at.zone)
        beats = [one.beat for one in roster.agents.values() if one.beat.period is not None]
        if not beats or beats[0].period is None:
            return Cost(0, 0, wish.TOKENS)
        keys = loaded.config.agents.defaults
        free = keys.model.primary in (None, "offline")
        return wish.cost(len(beats), beats[0].period, self._hours(loaded), free=free)

    def _hours(self, loaded: Loaded) -> tuple[int, int] | None:
        there = loaded.root.plain() if loaded.root is not None else {}
        from engine.config import fast

        found = fast.get(there, "agents.defaults.heartbeat.activeHours")
        if not isinstance(found, dict) or not {"start", "end"} <= found.keys():
            return None
        start, end = (str(found[name]).partition(":") for name in ("start", "end"))
        return int(start[0]) * 60 + int(start[2]), int(end[0]) * 60 + int(end[2])

    def _write(self, wishes: Wishes, loaded: Loaded) -> files.Done:
        from engine.cli.setup import furnish

        done = files.written(
            self.at,
            loaded.text,
            wishes.env,
            validate=lambda _: self._loaded(wishes),
        )
        furnish(self.at, done.told)
        return done

    # -- proved --------------------------------------------------------------------------

    def _prove(
        self, wishes: Wishes, done: files.Done, *, service: bool, starts: bool, tests: bool
    ) -> dict[str, Any]:
        report: dict[str, Any] = {
            "ok": True,
            "service": service,
            "gateway": "stopped",
            "test": None,
        }
        report["gateway"] = self._gateway(done, service=service, starts=starts)
        nexts = list(self._next(wishes, running=report["gateway"] != "stopped"))
        if tests:
            report["test"] = told = self._tested(wishes)
            # Where nobody has written yet there is nowhere to send it: no fault of this set-up.
            report["ok"] = bool(told["ok"]) or not told.get("sent", False)
            self._told(told)
        report["next"] = nexts
        for line in nexts:
            say(f"Next: {line}")
        return report

    def _gateway(self, done: files.Done, *, service: bool, starts: bool) -> str:
        runs = self.at.owner is not None
        if service and not proof.installed(self.at):
            if runs:
                proof.stop(self.ctx)
            proof.install(self.ctx, linger=bool(self.asker.given["linger"]))
            return proof.STARTED
        if runs:
            if any(path.endswith(".env") for path in done.files):
                return proof.restart(self.ctx)
            if "changed" in done.files.values():
                if not proof.taken_over(self.at):
                    return proof.restart(self.ctx)
                say("The running gateway has taken it over.")
            return proof.RUNNING
        return proof.start(self.ctx, self.at) if starts else "stopped"

    def _tested(self, wishes: Wishes) -> dict[str, Any]:
        """Send it to the owner who was named, else where an alert would go, else to an owner."""
        named = wishes.channel.to if wishes.channel is not None else None
        account = wishes.channel.account if wishes.channel is not None and named else None
        told = proof.send_test(self.at, wishes.agent, named, account=account)
        if not told["route"].get("channel") and (owner := wish.owner_of(self.at.values)):
            return proof.send_test(self.at, wishes.agent, owner)
        return told

    def _told(self, told: dict[str, Any]) -> None:
        from engine.cli.heartbeat.commands import tested_words

        click.echo(tested_words(told), err=self.as_json)

    def _next(self, wishes: Wishes, *, running: bool) -> list[str]:
        program = self.at.program
        found = []
        if not running:
            found.append(f"{program} gateway")
        channel = wishes.channel
        if (
            channel is not None
            and channel.starter.hears
            and channel.to is None
            and channel.name != "local"
        ):
            found.append(f"write your bot one message, then: {program} pairing list")
        found.append(f"{program} heartbeat last, {program} why: what it did, and why not")
        return found
