"""Every remedy is a command that can be pasted, or says that no command here helps (§10.1).

A command is read by the command line's own parser; nothing is run.
"""

from __future__ import annotations

import re
import shlex

import click
import pytest

from engine.cli.app import Group, cli
from engine.config import models
from engine.messages.fault import FaultClass, remedy
from engine.messages.remedy import set_key, unset_key, way_fix
from engine.messages.route import (
    AccountFacts,
    ChannelFacts,
    NoRoute,
    RouteFacts,
    TargetWish,
    resolve,
)
from engine.why import Code
from engine.why.chain import acts, broken, fix_line, is_act, is_command
from engine.why.reasons import objection
from jobs.ledger import SkipReason

BLANK = re.compile(r"\b(?:[A-Z]{4,}|JOB|YOUR_\w+|NEW_\w+)\b")  # what only the reader knows
ELSEWHERE = ("in the chat: ", "elsewhere: ")  # acts that no command of this machine does
OWN = {key: f"agents.list[id=ops].heartbeat.{key}" for key in ("target", "accountId")}


def parsed(line: str) -> None:
    """Read a command line as `engine` would; raises what it would refuse."""
    for command in line.split(" && "):
        program, *words = shlex.split(command)
        assert program == "engine", command
        place: click.Command = cli
        context = click.Context(cli, info_name="engine")
        while isinstance(place, Group):
            _, found, words = place.resolve_command(context, words)
            assert found is not None, command
            place = found
        place.make_context(place.name, words, parent=context)


def helps(fix: str) -> None:
    """Hold a remedy to its promise."""
    assert fix.strip() == fix
    assert not fix.endswith("."), "it is pasted as it stands"
    if fix.startswith("engine "):
        assert is_command(fix) is not bool(BLANK.search(fix))
        parsed(fix)
    else:
        assert fix.startswith((*ELSEWHERE, "nothing: ")), fix
        assert is_act(fix) is not fix.startswith("nothing")


@pytest.mark.parametrize("kind", ["heartbeat", "cron"])
@pytest.mark.parametrize("reason", SkipReason, ids=str)
def test_every_reason_has_a_remedy_that_can_be_pasted(reason: SkipReason, kind: str) -> None:
    assert reason.sentence
    helps(reason.fix_for(kind))
    named = reason.fix_for(kind, agent="night owl", job="cfg:brief")
    helps(named)
    assert "AGENT" not in named
    assert "JOB" not in named
    helps(objection(reason, agent="main").fix)


@pytest.mark.parametrize("fault", FaultClass, ids=str)
@pytest.mark.parametrize("channel", ["", "telegram", "qqbot", "webhook"])
def test_every_fault_of_a_platform_has_one(fault: FaultClass, channel: str) -> None:
    helps(fault.hint)
    for account in ("default", "work"):
        told = remedy(fault.value, channel, account)
        assert bool(told) is fault.mendable
        if told:
            helps(told)


CHANNEL = ChannelFacts(id="telegram", accounts=(AccountFacts(id="a"), AccountFacts(id="b")))
OFF = ChannelFacts(id="telegram", accounts=(AccountFacts(id="a", enabled=False),))
NOWHERE: dict[str, tuple[TargetWish, tuple[ChannelFacts, ...]]] = {
    "none": (TargetWish(), (CHANNEL,)),
    "nobody has written": (TargetWish(target="last"), (CHANNEL,)),
    "no owner": (TargetWish(target="owner"), (CHANNEL,)),
    "no such account": (TargetWish(target="telegram", to="42", account_id="c"), (CHANNEL,)),
    "an account that is off": (TargetWish(target="telegram", to="42", account_id="a"), (OFF,)),
    "none that is on": (TargetWish(target="telegram", to="42"), (OFF,)),
    "no such channel": (TargetWish(target="telegram", to="42"), ()),
    "no such other channel": (TargetWish(target="webhook", to="x"), ()),
    "nobody named": (TargetWish(target="telegram"), (CHANNEL,)),
    "nobody that can be": (TargetWish(target="telegram", to="#!"), (CHANNEL,)),
    "which channel": (
        TargetWish(target="last", to="42"),
        (CHANNEL, ChannelFacts(id="qqbot", accounts=(AccountFacts(id="a"),))),
    ),
    "no channel at all": (TargetWish(target="last", to="42"), ()),
    "direct chats are left alone": (
        TargetWish(target="telegram", to="42", account_id="a", direct_policy="block"),
        (CHANNEL,),
    ),
}


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("keys", [{}, OWN], ids=["shared", "own"])
def test_every_way_that_leads_nowhere_has_one(name: str, keys: dict[str, str]) -> None:
    wish, channels = NOWHERE[name]
    facts = RouteFacts(agent_id="ops", channels={one.id: one for one in channels})
    found = resolve(wish, facts)
    assert isinstance(found, NoRoute)
    helps(way_fix(found, keys))


def test_a_line_that_has_to_be_filled_in_is_joined_to_no_other() -> None:
    """Pasted as it stands it would be refused, and what stands behind it would not run."""
    blank = "engine config set agents.defaults.model.primary YOUR_MODEL"
    model = broken(Code.REPLY, "ok-token", "no model", blank)
    down = broken(Code.GATEWAY, "stopped", "the gateway does not run", "engine gateway")
    assert fix_line([down, model]) == "engine gateway"
    assert acts([down, model]) == (blank,)
    assert (fix_line([model]), acts([model])) == (blank, ())


def test_what_an_agents_own_block_says_is_changed_there() -> None:
    found = NoRoute(SkipReason.TARGET_NONE, "target is set to none")
    shared = "engine config set agents.defaults.heartbeat.target last"
    assert way_fix(found, {}) == shared
    assert way_fix(found, OWN) == "engine config set 'agents.list[id=ops].heartbeat.target' last"
    assert set_key({}, "target", "last") == shared
    assert unset_key({}, "accountId") == "engine config unset agents.defaults.heartbeat.accountId"


@pytest.mark.parametrize("ref", ["openai/gpt-5-mini", "ollama/qwen3", "mine/x", "openrouter/a/b"])
def test_a_model_nobody_serves_has_a_command(ref: str) -> None:
    helps(models.remedy(ref))
