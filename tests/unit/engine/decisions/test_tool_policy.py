"""Which tools an agent may use (operations.md §13.2)."""

from __future__ import annotations

import pytest

from engine.decisions.tool_policy import BUILT_IN, Layer, ToolPolicy, known, meant, named


def left(*layers: Layer, **more: Layer) -> set[str]:
    policy = ToolPolicy(layers=layers, providers=more)
    return {tool for tool in BUILT_IN if not policy.objects(tool, next(iter(more), ""))}


@pytest.mark.parametrize(
    ("entry", "tools"),
    [
        ("exec", {"exec"}),
        (" Exec ", {"exec"}),
        ("group:runtime", {"exec", "bash", "process"}),
        ("runtime", {"exec", "bash", "process"}),
        ("group:engine", set(BUILT_IN)),
        ("group:nonsense", set()),
    ],
)
def test_an_entry_names_a_tool_or_a_group(entry: str, tools: set[str]) -> None:
    assert named(entry) == tools


@pytest.mark.parametrize("entry", ["exce", "group:runtim", "made_up"])
def test_a_name_nobody_knows_is_known_as_that(entry: str) -> None:
    assert not known(entry)


def test_deny_beats_allow() -> None:
    rules = Layer(where="tools", allow=("read", "exec"), deny=("group:runtime",))
    assert left(rules) == {"read"}


def test_a_list_of_what_is_allowed_switches_all_else_off() -> None:
    assert left(Layer(where="tools", allow=("read",))) == {"read"}
    assert left(Layer(where="tools", allow=())) == BUILT_IN


@pytest.mark.parametrize(
    ("profile", "tools"),
    [
        ("minimal", {"heartbeat_respond"}),
        ("coding", {"read", "write", "exec", "process", "cron", "heartbeat_respond"}),
        ("messaging", {"message", "heartbeat_respond"}),
        ("full", set(BUILT_IN)),
    ],
)
def test_a_profile_is_a_named_set(profile: str, tools: set[str]) -> None:
    assert left(Layer(where="tools", profile=profile)) == tools


def test_something_may_be_added_to_a_profile() -> None:
    rules = Layer(where="tools", profile="messaging", also=("read",))
    assert left(rules) == {"message", "read", "heartbeat_respond"}


def test_every_place_has_a_say_and_the_refusal_names_it() -> None:
    everyone = Layer(where="tools", deny=("exec",))
    own = Layer(where="agents.list.ops.tools", allow=("read", "exec"))
    policy = ToolPolicy(layers=(everyone, own))
    assert policy.objects("read") == ""
    assert policy.objects("exec") == "tools.deny names it"
    assert policy.objects("write") == "agents.list.ops.tools.allow does not name it"


def test_rules_of_a_provider_hold_for_its_models_only() -> None:
    local = Layer(where="tools.byProvider.local", profile="minimal")
    assert left(local=local) == {"heartbeat_respond"}
    assert ToolPolicy(providers={"local": local}).objects("exec", "openai") == ""


def test_meant_is_the_union() -> None:
    assert meant(("read", "group:messaging")) == {"read", "message"}
