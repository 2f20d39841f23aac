"""What a reply amounts to: every vector of heartbeat.md §13.1, and the rules around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.wording.outcome import Verdict, classify, for_person, interim, strip_token
from jobs.ledger import Outcome, SkipReason

FIXTURES = Path(__file__).parents[3] / "fixtures" / "heartbeat_fixtures.json"
VECTORS: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["token"]


@pytest.mark.parametrize(
    "case", VECTORS, ids=lambda c: f"{c['mode']}-{c['ackMaxChars']}-{c['input'][:24]!r}"
)
def test_the_token_is_read_as_specified(case: dict[str, Any]) -> None:
    want = case.get("e", case["m"])
    got = strip_token(case["input"], mode=case["mode"], ack_max_chars=case["ackMaxChars"])
    text = got.text
    if "e" not in case and "\n" not in want["text"]:
        # Upstream folds lines; ours must keep them (§13.1), so only the words are compared.
        text = " ".join(text.split())
    assert (got.ack, text) == (want["ack"], want["text"])


# The table of §13.1: input, what a heartbeat makes of it, what a normal message leaves. Where
# the reference differs it is our value ([E]).
ACK = (True, "")
TABLE: list[tuple[str, tuple[bool, str], str]] = [
    ("", ACK, ""),
    ("  \n", ACK, ""),
    ("HEARTBEAT_OK", ACK, ""),
    ("HEARTBEAT_OK HEARTBEAT_OK", ACK, ""),
    ("<b>HEARTBEAT_OK</b>", ACK, ""),
    ("&nbsp;HEARTBEAT_OK&nbsp;", ACK, ""),
    ("**HEARTBEAT_OK**", ACK, ""),
    ("`HEARTBEAT_OK`", ACK, ""),
    ("HEARTBEAT_OK.", ACK, ""),
    ('"HEARTBEAT_OK"', ACK, ""),
    ("HEARTBEAT_OK 🎉", ACK, ""),
    ("HEARTBEAT_OK all good", ACK, "all good"),
    ("All good. HEARTBEAT_OK", ACK, "All good."),
    ("HEARTBEAT_OK " + "x" * 300, ACK, "x" * 300),
    ("HEARTBEAT_OK " + "x" * 301, (False, "x" * 301), "x" * 301),
    ("I replied HEARTBEAT_OK earlier", (False, "I replied HEARTBEAT_OK earlier"),
     "I replied HEARTBEAT_OK earlier"),
    ("Alert: disk full HEARTBEAT_OK - see log", (False, "Alert: disk full HEARTBEAT_OK - see log"),
     "Alert: disk full HEARTBEAT_OK - see log"),
    ("heartbeat_ok", ACK, "heartbeat_ok"),
    ("HEARTBEAT_OKAY then", (False, "HEARTBEAT_OKAY then"), "HEARTBEAT_OKAY then"),
    ("HEARTBEAT_OK，一切正常", ACK, "，一切正常"),
    ("L1\nL2\nHEARTBEAT_OK", ACK, "L1\nL2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "beat", "message"), TABLE, ids=lambda v: repr(v)[:40])
def test_every_row_of_the_token_table_is_so(
    text: str, beat: tuple[bool, str], message: str
) -> None:
    got = strip_token(text, mode="heartbeat")
    assert (got.ack, got.text) == beat
    assert for_person(text) == message


def test_without_room_for_more_only_the_bare_token_is_an_acknowledgement() -> None:
    alert = strip_token("HEARTBEAT_OK x", mode="heartbeat", ack_max_chars=0)
    assert (alert.ack, alert.text) == (False, "x")
    assert strip_token("HEARTBEAT_OK", mode="heartbeat", ack_max_chars=0).ack


def test_dropped_words_are_kept() -> None:
    verdict = classify(["HEARTBEAT_OK all good"])
    assert (verdict.outcome, verdict.dropped) == (Outcome.ACKNOWLEDGED, "all good")


def test_no_payload_is_empty() -> None:
    assert classify([" ", ""]).outcome is Outcome.EMPTY


def test_reasoning_is_kept_apart() -> None:
    verdict = classify(["Reasoning: the disk", "Disk at 95 %"])
    assert verdict == Verdict(
        outcome=Outcome.ALERT,
        text="Disk at 95 %",
        reasoning=("Reasoning: the disk",),
        preview="Disk at 95 %",
    )


def test_the_structured_answer_beats_the_text() -> None:
    silent = classify(["Disk!"], response={"notify": False, "summary": "nothing new"})
    assert (silent.outcome, silent.dropped) == (Outcome.ACKNOWLEDGED, "Disk!")
    loud = classify(["HEARTBEAT_OK"], response={"notify": True, "summary": "Disk at 95 %"})
    assert (loud.outcome, loud.text) == (Outcome.ALERT, "Disk at 95 %")


def test_a_structured_alert_without_words_is_no_alert() -> None:
    assert classify([], response={"notify": True}).outcome is Outcome.ACKNOWLEDGED


@pytest.mark.parametrize("text", ["NO_REPLY", "no_reply", "HEARTBEAT_OK", "**HEARTBEAT_OK**"])
def test_a_job_with_nothing_to_say_is_acknowledged(text: str) -> None:
    assert classify([text], mode="cron").outcome is Outcome.ACKNOWLEDGED


def test_a_short_answer_of_a_job_is_delivered() -> None:
    assert classify(["All good. HEARTBEAT_OK"], mode="cron").text == "All good."


def test_remains_of_a_broken_turn_are_a_failure() -> None:
    verdict = classify(["Please resend your request"])
    assert (verdict.outcome, verdict.reason) == (
        Outcome.FAILED,
        SkipReason.AGENT_RUNNER_FAILURE,
    )


def test_the_response_prefix_is_added_once() -> None:
    assert classify(["Disk!"], response_prefix="[ops]").text == "[ops] Disk!"
    assert classify(["[ops] Disk!"], response_prefix="[ops]").text == "[ops] Disk!"
    assert classify(["[OPS] HEARTBEAT_OK"], response_prefix="[ops]").outcome is (
        Outcome.ACKNOWLEDGED
    )


def test_a_relayed_event_is_sent_however_short() -> None:
    assert classify(["HEARTBEAT_OK build failed"], bare_ack_only=True).text == "build failed"


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ("Hello.", "Hello."),
        ("HEARTBEAT_OK", ""),
        ("Hello. HEARTBEAT_OK", "Hello."),
        ("NO_REPLY", ""),
        ('"no_reply"', ""),
        ("**NO_REPLY**.\n", ""),
        ("NO_REPLY is what I say", "NO_REPLY is what I say"),
    ],
)
def test_a_person_sees_no_tokens(payload: str, told: str) -> None:
    assert for_person(payload) == told


# -- a promise is no result (cron.md §8) ---------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "On it!",
        "Sure, I'll check the builds now.",
        "Let me pull everything together…",
        "I\u2019m working on it",
        "One moment.",
        "Please hold on while I look.",
        "马上处理。",
    ],
)
def test_words_of_somebody_who_is_about_to_begin_are_a_promise(text: str) -> None:
    assert interim(text)


@pytest.mark.parametrize(
    "text",
    [
        "All 12 builds are green.",
        "HEARTBEAT_OK",
        "",
        "On Monday the shop is closed.",
        "I'll be late: the train stands still in Ulm.",
        "Let me check: " + "the builds of the last week were all green, " * 5,
        "On it!\n\n- build 1: red\n- build 2: green",
        "Checked the builds; working on it was easy.",
    ],
)
def test_a_result_is_no_promise(text: str) -> None:
    assert not interim(text)


@pytest.mark.parametrize(
    ("said", "response", "sent"),
    [
        (["HEARTBEAT_OK"], None, "HEARTBEAT_OK"),
        (["All quiet. HEARTBEAT_OK"], None, "All quiet."),
        ([""], {"notify": False, "summary": "nothing new"}, "nothing new"),
        (["The build is red."], None, "The build is red."),
    ],
)
def test_who_asked_for_an_answer_is_answered_even_if_all_is_well(
    said: list[str], response: dict[str, object] | None, sent: str
) -> None:
    verdict = classify(said, response=response, visible=True)
    assert (verdict.outcome, verdict.text) == (Outcome.ALERT, sent)


def test_an_agent_that_says_nothing_at_all_has_not_answered() -> None:
    assert classify([" "], visible=True).outcome is Outcome.EMPTY
