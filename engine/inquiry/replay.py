"""A beat decided once more, from what its row keeps: the same, or what is different. Pure.

design.md P4, heartbeat.md §25-19. The gates are asked with the snapshot of then; a reply is
read by the rules of then. What no gate decided (a slot missed while nothing ran, a run that
was cut off) cannot be decided again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.beats.outcome import bounded, gone
from engine.decisions.gates import Decision, Defer, Run as Go, Skip, decide
from engine.decisions.snapshot import restored
from engine.messages.repetition import Sent
from engine.wording.outcome import Verdict, classify
from jobs.ledger import Outcome, Run, RunStatus, SkipReason
from jobs.wallclock import EPOCH, MILLISECOND


@dataclass(frozen=True, slots=True)
class Step:
    """One decision of a beat: as it stands in the row, and as it is taken now."""

    what: str  # gates | reply | delivery
    recorded: str
    replayed: str
    because: str = ""

    @property
    def same(self) -> bool:
        """Whether both are the same."""
        return self.recorded == self.replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What comes of deciding a beat once more."""

    run: Run
    steps: Sequence[Step] = ()
    impossible: str = ""  # why nothing could be decided again

    @property
    def same(self) -> bool | None:
        """Whether every step came to the same; None if there was none."""
        return all(step.same for step in self.steps) if self.steps else None

    def to_json(self) -> dict[str, Any]:
        """Return it as `heartbeat.replay` tells it."""
        return {
            "runId": self.run.id,
            "agentId": self.run.agent_id,
            "same": self.same,
            "impossible": self.impossible or None,
            "steps": [
                {
                    "what": step.what,
                    "recorded": step.recorded,
                    "replayed": step.replayed,
                    "same": step.same,
                    **({"because": step.because} if step.because else {}),
                }
                for step in self.steps
            ],
        }


def replayed(run: Run) -> Replay:
    """Decide a beat once more."""
    why = _impossible(run)
    if why:
        return Replay(run=run, impossible=why)
    return Replay(run=run, steps=tuple(_steps(run)))


def _impossible(run: Run) -> str:
    if run.kind != "heartbeat":
        return "it is a run of a job, not a beat"
    if not run.status.final:
        return "it is not over yet"
    if run.status is RunStatus.MISSED:
        return "nothing was decided about it: the slot was found missed"
    if run.reason is SkipReason.SUPERSEDED:
        return "no gate decided it: its agent was taken out of the config while it waited"
    if not run.facts.get("snapshot") and "lookedAt" not in run.facts:
        return "its row keeps no snapshot: it was cut off before it was looked at, or is older"
    return ""


def _steps(run: Run) -> Iterator[Step]:
    decision = _decided(run)
    words = decision.because if isinstance(decision, Skip | Defer) else ""
    yield Step("gates", _gates_said(run), _gate_words(decision), words)
    if run.started_at is None or "reading" not in run.facts:
        return
    verdict = _verdict(run)
    recorded = run.outcome.value if run.outcome else run.status.value
    yield Step("reply", recorded, verdict.outcome.value, verdict.because)
    if Outcome.ALERT in (run.outcome, verdict.outcome):
        reason = _withheld(run, verdict)
        yield Step("delivery", _reason_word(run.reason), _reason_word(reason))


# -- the gates ---------------------------------------------------------------------------------


def _decided(run: Run) -> Decision:
    """Take the decision again as `engine.beats.beat` took it."""
    facts = run.facts
    beat = restored(facts["snapshot"])
    asked = run.wake.get("eventIds") or ()
    if gone(asked, facts.get("events") or ()):
        return Skip(SkipReason.NO_PENDING_EVENT, "none of its events was there any more")
    waited, most = (_span(facts.get(key)) for key in ("waitedMs", "maxDeferralMs"))
    patience = most or waited + MILLISECOND
    now = datetime.fromisoformat(facts["lookedAt"])
    decision = bounded(decide(beat, now), beat.intent, waited, patience)
    probes = facts.get("probes")
    if isinstance(decision, Go) and probes is not None and not probes.get("tripped"):
        return Skip(SkipReason.NOTHING_CHANGED, "none of its probes saw a change")
    return decision


def _span(value: object) -> timedelta:
    return int(value) * MILLISECOND if isinstance(value, int) else timedelta()


def _gate_words(decision: Decision) -> str:
    match decision:
        case Go():
            return "run"
        case Skip(reason):
            return f"skip: {reason.value}"
        case Defer(reason):
            return f"wait: {reason.value}"


def _gates_said(run: Run) -> str:
    if run.started_at is not None:
        return "run"
    return f"skip: {_reason_word(run.reason)}"


# -- the reply ---------------------------------------------------------------------------------


def _verdict(run: Run) -> Verdict:
    rules, reply = run.facts["reading"], run.reply
    raw = reply.get("rawText")
    payloads = reply.get("payloads") or ([raw] if raw else [])
    return classify(
        payloads,
        ack_max_chars=rules["ackMaxChars"],
        response_prefix=rules["prefix"],
        response=reply.get("response"),
        bare_ack_only=rules["bareAckOnly"],
        visible=rules.get("visible", False),
    )


def _withheld(run: Run, verdict: Verdict) -> SkipReason | None:
    """Say why an alert is not sent (§7 rows 26 to 28); None: it is."""
    nowhere, rules = run.target.get("reason"), run.facts["reading"]
    if nowhere:
        return SkipReason(nowhere)
    if not run.facts["shown"]["alerts"]:
        return SkipReason.ALERTS_DISABLED
    if held := rules.get("held"):
        return SkipReason(held)
    return SkipReason.DUPLICATE if _repeated(run, rules, verdict) else None


def _repeated(run: Run, rules: Mapping[str, Any], verdict: Verdict) -> bool:
    """Whether the same words had gone there a short while before."""
    urgent = (verdict.response or {}).get("priority") == "high"
    said_at, window = rules.get("saidAtMs"), rules.get("dedupeMs")
    if said_at is None or window is None or run.facts.get("events") or urgent:
        return False
    said = Sent(at=EPOCH + said_at * MILLISECOND, suppressed=0)
    return run.ended_at is not None and said.within(_span(window), run.ended_at)


def _reason_word(reason: SkipReason | None) -> str:
    return reason.value if reason else "sent"
