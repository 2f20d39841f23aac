from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass, Message, TurnRequest
from engine.agents.command import CommandAgent, CommandBackend, classify_words

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], sys.stdin.read(), dict(os.environ)]))"


def turn(prompt: str = "hello", **changes: Any) -> TurnRequest:
    return TurnRequest(
        run_id="r", agent_id="a", session_key="s", kind="chat", prompt=prompt, now=NOON, **changes
    )


def agent(
    program: str, *, model: str | None = None, environ: dict[str, str] | None = None, **changes: Any
) -> CommandAgent:
    values = {"id": "prog", "command": sys.executable, "args": ("-c", program), **changes}
    return CommandAgent(CommandBackend(**values), model=model, environ=environ)


async def told(request: TurnRequest, **changes: Any) -> tuple[list[str], str, dict[str, str]]:
    argv, stdin, env = json.loads((await agent(TELL, **changes).answer(request)).text)
    return argv, stdin, env


async def failure_of(program: str, **changes: Any) -> AgentFailure:
    with pytest.raises(AgentFailure) as caught:
        await agent(program, **changes).answer(turn())
    return caught.value


async def test_the_prompt_comes_on_standard_input() -> None:
    argv, stdin, _ = await told(turn("what now?", system_prompt="be brief"))
    assert argv == []
    assert stdin == "be brief\n\nwhat now?"


async def test_the_prompt_can_come_as_an_argument_unless_it_is_too_long() -> None:
    argv, stdin, _ = await told(turn("short"), input="arg", max_prompt_arg_chars=10)
    assert (argv, stdin) == (["short"], "")
    argv, stdin, _ = await told(turn("x" * 11), input="arg", max_prompt_arg_chars=10)
    assert (argv, stdin) == ([], "x" * 11)


async def test_the_model_and_the_system_prompt_have_their_own_arguments() -> None:
    argv, stdin, _ = await told(
        turn("hi", system_prompt="be brief"),
        model="fast",
        model_arg="--model",
        model_aliases={"fast": "fast-1"},
        system_prompt_arg="--system",
    )
    assert argv == ["--model", "fast-1", "--system", "be brief"]
    assert stdin == "hi"


async def test_earlier_messages_stand_before_the_prompt() -> None:
    history = (Message(role="user", text="I am Ada"), Message(role="assistant", text="Hello Ada"))
    _, stdin, _ = await told(turn("who am I?", history=history))
    assert stdin == (
        "Earlier in this conversation:\nUser: I am Ada\nYou: Hello Ada\n\nNow:\nwho am I?"
    )


async def test_the_environment_is_what_the_backend_says() -> None:
    _, _, env = await told(
        turn(), environ={"KEEP": "1", "DROP": "2"}, env={"ADD": "3"}, clear_env=("DROP",)
    )
    assert (env.get("KEEP"), env.get("ADD"), env.get("DROP")) == ("1", "3", None)
    assert env["ENGINE_SHELL"] == "exec"


async def test_it_works_in_the_workspace(tmp_path: Path) -> None:
    program = "import os; print(os.getcwd())"
    reply = await agent(program).answer(turn(workspace=tmp_path))
    assert Path(reply.text).name == tmp_path.name


async def test_json_output_gives_words_and_usage() -> None:
    document = {
        "type": "result",
        "result": "It rains.",
        "usage": {"input_tokens": 5, "output_tokens": 2},
        "total_cost_usd": 0.01,
    }
    reply = await agent(f"print({json.dumps(document)!r})", output="json").answer(turn())
    assert reply.text == "It rains."
    assert reply.usage is not None
    assert (reply.usage.total_tokens, reply.usage.cost_usd) == (7, 0.01)


async def test_json_lines_give_one_payload_each() -> None:
    lines = '{"event": "start"}\n{"text": "one"}\n{"message": {"content": "two"}}'
    reply = await agent(f"print({lines!r})", output="jsonl").answer(turn())
    assert reply.payloads == ("one", "two")


async def test_output_that_is_not_json_is_a_failure() -> None:
    failure = await failure_of("print('oops')", output="json")
    assert failure.failure is FailureClass.INVALID


async def test_a_program_that_is_not_there_is_named_with_what_to_do() -> None:
    failure = await failure_of("", command="no-such-program")
    assert "no-such-program" in failure.message
    assert "agents.defaults.cliBackends.prog.command" in failure.message


async def test_too_slow_is_a_timeout() -> None:
    failure = await failure_of(
        "import threading; threading.Event().wait()", timeout=timedelta(milliseconds=50)
    )
    assert failure.failure is FailureClass.TIMEOUT


async def test_too_silent_is_a_timeout() -> None:
    failure = await failure_of(
        "import threading; threading.Event().wait()", no_output_timeout=timedelta(milliseconds=50)
    )
    assert failure.failure is FailureClass.TIMEOUT
    assert "no output" in failure.message


async def test_a_flood_is_ended_and_never_passed_off_as_an_answer() -> None:
    failure = await failure_of("print('x' * 1001)", output_most=1000)
    assert failure.failure is FailureClass.INVALID


async def test_what_it_left_running_ends_with_it() -> None:
    program = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
        "'import threading; threading.Event().wait()']); print('done')"
    )
    reply = await asyncio.wait_for(agent(program).answer(turn()), timeout=10)
    assert reply.text == "done"


async def test_a_program_that_ignores_its_input_still_answers() -> None:
    reply = await agent("print('hi')").answer(turn("x" * 1_000_000))
    assert reply.text == "hi"


async def test_a_secret_of_the_backend_is_not_repeated() -> None:
    failure = await failure_of(
        "import os, sys; sys.exit('bad key ' + os.environ['TOKEN'])", env={"TOKEN": "hunter2hunter"}
    )
    assert "hunter2" not in failure.message


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("Error: 429 too many requests", FailureClass.RATE_LIMIT),
        ("HTTP 429", FailureClass.RATE_LIMIT),
        ("you have insufficient credits", FailureClass.BILLING),
        ("the model is overloaded", FailureClass.OVERLOADED),
        ("Invalid API key. Please log in", FailureClass.AUTH),
        ("model gpt-9 not found", FailureClass.MODEL_NOT_FOUND),
        ("request timed out", FailureClass.TIMEOUT),
        ("connect ECONNREFUSED 127.0.0.1:1", FailureClass.NETWORK),
        ("status 503", FailureClass.SERVER_ERROR),
        ("502 Bad Gateway", FailureClass.SERVER_ERROR),
        ("processed 503 rows, 429 columns", FailureClass.INTERNAL),
        ("Traceback (most recent call last)", FailureClass.INTERNAL),
        ("", FailureClass.INTERNAL),
    ],
)
def test_last_words_have_a_class_and_bare_numbers_do_not(words: str, failure: FailureClass) -> None:
    assert classify_words(words) is failure


# -- conversations the program keeps -----------------------------------------------------------

KEEPS: dict[str, Any] = {
    "output": "json",
    "session_mode": "always",
    "session_args": ("--session", "{sessionId}"),
    "resume_args": ("-c", "RESUME", "--resume", "{sessionId}"),
    "system_prompt_arg": "--system",
    "system_prompt_when": "first",
}
SAYS = (
    "import json, sys;"
    " print(json.dumps({'result': ' '.join(sys.argv[1:]), 'session_id': 'its-own'}))"
)


def keeping(program: str = SAYS, **changes: Any) -> CommandAgent:
    values = {**KEEPS, **changes}
    values["resume_args"] = tuple(program if w == "RESUME" else w for w in values["resume_args"])
    return agent(program, **values)


def after(said: str) -> tuple[Message, ...]:
    return (Message(role="user", text="hi"), Message(role="assistant", text=said))


async def test_a_conversation_goes_on_at_the_program_and_what_was_said_is_not_repeated() -> None:
    one = keeping()
    first = await one.answer(turn("hi", system_prompt="be brief"))
    assert first.text.startswith("--session ")
    assert first.text.endswith("--system be brief")
    again = await one.answer(turn("and?", history=after(first.text), system_prompt="be brief"))
    assert again.text == "--resume its-own", "its own id, and no system prompt again"


async def test_a_conversation_that_went_another_way_begins_anew() -> None:
    one = keeping()
    await one.answer(turn("hi"))
    assert (await one.answer(turn("and?", history=after("another's words")))).text.startswith(
        "--session "
    )
    assert (await one.answer(turn("hi"))).text.startswith("--session "), "it was reset"


async def test_a_program_that_forgot_the_conversation_is_told_it_again() -> None:
    forgets = (
        "import json, sys\n"
        "if '--resume' in sys.argv: sys.exit('No conversation found')\n"
        "print(json.dumps({'result': 'fresh ' + sys.stdin.read(), 'session_id': 's'}))"
    )
    one = keeping(forgets)
    first = await one.answer(turn("hi"))
    again = await one.answer(turn("and?", history=after(first.text)))
    assert "Earlier in this conversation" in again.text


async def test_of_the_events_of_a_program_only_what_it_said_is_the_answer() -> None:
    events = [
        {"type": "thread.started", "thread_id": "t-1"},
        {"type": "item.completed", "item": {"type": "reasoning", "text": "hm"}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "done"}},
        {"type": "turn.completed", "usage": {"input_tokens": 3, "output_tokens": 4}},
    ]
    program = f"print({chr(10).join(map(json.dumps, events))!r})"
    reply = await agent(program, output="jsonl").answer(turn())
    assert reply.payloads == ("done",)
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 4)
