"""`GET /metrics`: figures as Prometheus reads them (protocol.md §14, heartbeat.md §25 row 22).

Gauges over what is on record, counted when they are asked for, and counters since the start of
the process. No id of anybody stands in a label. Beats and delivery are of the last 24 hours, as
`engine heartbeat slo` tells them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from engine import __version__
from gateway.http.guard import Caller, Guard
from gateway.http.pages import Page
from gateway.protocol.methods import Scope
from gateway.rpc.desk import Desk
from jobs.wallclock import ms

PATH: Final = "/metrics"
KIND: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES: Final = 2048
OVERFLOW: Final = "engine_metrics_overflow"
_NOTHING_OPEN: Final = {"queued": 0, "sending": 0, "held": 0}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a figure with its labels."""

    name: str
    value: float
    labels: Mapping[str, str]
    told: str  # what it means
    grows: bool = False  # counted since the start of the process


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram: how many were within each edge, and their sum."""

    name: str
    buckets: Sequence[tuple[str, float]]
    total: float
    told: str

    def __len__(self) -> int:
        return len(self.buckets) + 2  # lines; with the sum and the count


Figure = Sample | Spread


class Metrics:
    """A room of one page."""

    def __init__(self, desk: Desk, guard: Guard) -> None:
        self._desk = desk
        self._over = 0  # lines that were left out
        self._page = guard.page(self.answer, method="GET", scope=Scope.READ)

    def page(self, path: str) -> Page | None:
        """The page, at its path only."""
        return self._page if path == PATH else None

    async def answer(self, _: Request, _caller: Caller) -> Response:
        """Count and tell."""
        core, now = self._desk.core, self._desk.clock.now()
        beats = await core.heartbeats.history({"summary": True})
        samples = figures(self._desk.health.facts, await core.scheduling.status(), beats, now)
        kept, over = within([*samples, *counted(core.figures.counted())])
        self._over += over
        kept.append(Sample(OVERFLOW, self._over, {}, "Lines left out beyond 2048.", grows=True))
        text = await asyncio.to_thread(text_of, kept)
        return PlainTextResponse(text, headers={"Content-Type": KIND})


def figures(
    health: Mapping[str, Any], cron: Mapping[str, Any], beats: Mapping[str, Any], now: datetime
) -> Iterator[Sample]:
    """Return what is told, in the order it is told in."""
    yield Sample("engine_info", 1, {"version": __version__}, "The version that runs.")
    yield Sample("engine_healthy", bool(health.get("ok")), {}, "1 while no part fails.")
    yield Sample("cron_jobs", _number(cron.get("jobs")), {}, "Jobs in the store.")
    for status, count in (cron.get("runs24h") or {}).items():
        labels = {"status": str(status)}
        yield Sample("cron_runs", _number(count), labels, "Runs of jobs of 24 hours by status.")
    if (at := cron.get("nextWakeAtMs")) is not None:
        left = (float(at) - (ms(now) or 0)) / 1000
        yield Sample("scheduler_next_wake_seconds", left, {}, "Until the next slot is due.")
    for state, count in {**_NOTHING_OPEN, **(health.get("outbox") or {})}.items():
        labels = {"state": str(state)}
        yield Sample("outbox_messages", _number(count), labels, "Open messages by state.")
    waiting = health.get("queuedEvents") or 0
    yield Sample("system_events_queued", _number(waiting), {}, "Events no turn has seen yet.")
    for word, count in (beats.get("counts") or {}).items():
        labels = {"outcome": str(word)}
        yield Sample("heartbeat_beats", _number(count), labels, "Beats of 24 hours by outcome.")
    yield from _promises(beats.get("slo") or {})


def _promises(slo: Mapping[str, Any]) -> Iterator[Sample]:
    lag, beats = slo.get("lagMs") or {}, slo.get("beats") or {}
    delivery = slo.get("delivery") or {}
    told = (
        ("heartbeat_slot_lag_p50_seconds", _seconds(lag.get("p50")), "Lateness of slots, median."),
        ("heartbeat_slot_lag_p99_seconds", _seconds(lag.get("p99")), "Lateness of slots, p99."),
        ("heartbeat_expected", beats.get("expected"), "Slots there should have been."),
        ("heartbeat_done", beats.get("done"), "Slots that were served."),
        ("heartbeat_delivery_rate", delivery.get("rate"), "Alerts that arrived, of 1."),
    )
    for name, value, words in told:
        if value is not None:
            yield Sample(name, float(value), {}, f"{words[:-1]}, of 24 hours.")


def counted(told: Mapping[str, Any]) -> Iterator[Figure]:
    """Return what grows from the start of the process on."""
    lag = told["lag"]
    words = "Lateness of slots when they were claimed."
    yield Spread("scheduler_slot_lag_seconds", lag["buckets"], lag["sum"], words)
    for state, count in told["ends"].items():
        words = "Messages that came to an end, by how."
        yield Sample("delivery_messages", count, {"state": state}, words, grows=True)
    for state, count in told["turns"].items():
        yield Sample("agent_turns", count, {"state": state}, "Turns that run, or wait.")


def within(figures: Sequence[Figure], most: int = MOST_SERIES) -> tuple[list[Figure], int]:
    """Return the figures that fit, and how many lines do not: no label may fill a disk."""
    kept: list[Figure] = []
    lines = over = 0
    for one in figures:
        size = len(one) if isinstance(one, Spread) else 1
        if lines + size > most:
            over += size
        else:
            lines += size
            kept.append(one)
    return kept, over


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value) / 1000


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """What was counted, as the library asks for it."""

    figures: Sequence[Figure]

    def collect(self) -> Iterator[Any]:
        """Each name once, with all its figures."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        families: dict[str, Any] = {}
        for one in self.figures:
            if isinstance(one, Spread):
                spread = HistogramMetricFamily(one.name, one.told)
                spread.add_metric((), list(one.buckets), one.total)
                families[one.name] = spread
                continue
            family = families.get(one.name)
            if family is None:
                kind = CounterMetricFamily if one.grows else GaugeMetricFamily
                family = kind(one.name, one.told, labels=tuple(one.labels))
                families[one.name] = family
            family.add_metric(tuple(one.labels.values()), one.value)
        yield from families.values()


def text_of(figures: Sequence[Figure]) -> str:
    """Return the page. The first who asks has the library loaded, which takes a while."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Counted(figures))
    return generate_latest(registry).decode()
