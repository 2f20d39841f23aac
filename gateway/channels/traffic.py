"""Which deliveries may leave now: one per lane, by priority, as fast as a platform lets us.

Decides and remembers; it starts nothing. Time is handed in: wall time for what is written on
a delivery, monotonic time for pacing (channels.md §7, §11).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.messages.fault import Fault
from engine.messages.outbox import effective_route, overdue
from gateway.channels.base import Channel
from gateway.channels.pace import Fairness, Grant, Pace, Scope

LATER: Final = timedelta(seconds=5)  # a "later" of the platform without a time
LONGEST_REST: Final = timedelta(minutes=1)  # no lane is left alone for longer
_NONE: Final = timedelta()


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who leaves now, in this order, and the moments at which others may."""

    now: tuple[Delivery, ...]
    moments: tuple[datetime, ...]


class Traffic:
    """The lanes of all accounts. ``channels`` is shared with its owner, who may exchange them."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._pace = Pace()
        self._fairness: dict[tuple[str, str], Fairness] = {}
        self._flying: dict[str, list[Grant]] = {}  # by lane
        self._resting: dict[str, datetime] = {}  # lanes that wait for something not in their row

    def leaving(
        self,
        heads: Sequence[Delivery],
        busy: Collection[str],
        now: datetime,
        monotonic: timedelta,
    ) -> Leaving:
        """Choose among the heads of all lanes; ``busy`` are the lanes with one on its way.

        A lane that waits delays no other. Whoever is chosen counts against the pace at once.
        """
        # One that lies further ahead was told by a clock that has been set back since.
        self._resting = {
            lane: until
            for lane, until in self._resting.items()
            if timedelta() < until - now <= LONGEST_REST
        }
        free: list[Delivery] = []
        moments: list[datetime] = []
        for head in heads:
            if head.lane in busy:
                continue
            if (rest := self._resting.get(head.lane)) is None:
                free.append(head)
            else:
                moments.append(rest)
        chosen: list[Delivery] = []
        for account, waiting in _by_account(free).items():
            chosen += self._picked(account, waiting, now, monotonic, moments)
        return Leaving(tuple(chosen), tuple(moments))

    def rest(self, lane: str, until: datetime) -> None:
        """Leave a lane alone until then."""
        self._resting[lane] = until

    def wake(self) -> None:
        """A channel has changed: whoever rests may try again."""
        self._resting.clear()

    def slow_down(self, delivery: Delivery, fault: Fault, monotonic: timedelta) -> None:
        """The platform said "later": its pace is lowered where the message was going."""
        channel = self._channels.get(delivery.route.channel)
        if channel is not None:
            seconds = fault.retry_after_seconds
            wait = LATER if seconds is None else timedelta(seconds=seconds)
            self._pace.penalise(channel.scopes(effective_route(delivery)), wait, monotonic)

    def recall(self, route: Route, left_at: timedelta, *, unasked: bool) -> None:
        """Count what an earlier process sent: a restart refills nothing (channels.md §7)."""
        channel = self._channels.get(route.channel)
        if channel is None:
            return
        self._pace.take(channel.scopes(route), left_at)
        if unasked and (rules := channel.rules(route)) is not None:
            self._pace.take(rules.unasked, left_at)

    def unasked(self, lane: str, scopes: Sequence[Scope], monotonic: timedelta) -> timedelta:
        """Count a message nobody asked for, or return how long it has to wait."""
        wait = self._pace.wait(scopes, monotonic)
        if not wait:
            self._fly(lane, scopes, monotonic)
        return wait

    def leaves(self, lane: str, monotonic: timedelta) -> None:
        """The request of a lane leaves now: until here the store had it, which takes its time."""
        for grant in self._flying.get(lane, ()):
            grant.at, grant.waits = monotonic, False

    def landed(self, lane: str, monotonic: timedelta) -> None:
        """Its answer is there, at the latest now the platform has seen it; or it never left."""
        for grant in self._flying.pop(lane, ()):
            grant.at, grant.waits = timedelta.min if grant.waits else monotonic, False

    def _fly(self, lane: str, scopes: Sequence[Scope], monotonic: timedelta) -> None:
        grant = self._pace.take(scopes, monotonic, waits=True)
        self._flying.setdefault(lane, []).append(grant)

    def _picked(
        self,
        account: tuple[str, str],
        waiting: list[Delivery],
        now: datetime,
        monotonic: timedelta,
        moments: list[datetime],
    ) -> list[Delivery]:
        """Pick by priority what pacing lets through; when the others may go is added."""
        fairness = self._fairness.setdefault(account, Fairness())
        picked: list[Delivery] = []
        while waiting:
            open_now: list[Delivery] = []
            for head in waiting:
                wait = _NONE if overdue(head, now) else self._wait(head, monotonic)
                if wait:
                    moments.append(min(now + wait, head.expires_at))
                else:
                    open_now.append(head)
            if not open_now:
                break
            head = open_now.pop(fairness.pick([each.priority for each in open_now]))
            self._take(head, now, monotonic)
            picked.append(head)
            waiting = open_now
        return picked

    def _wait(self, head: Delivery, monotonic: timedelta) -> timedelta:
        channel = self._channels.get(head.route.channel)
        if channel is None:
            return _NONE
        return self._pace.wait(channel.scopes(effective_route(head)), monotonic)

    def _take(self, head: Delivery, now: datetime, monotonic: timedelta) -> None:
        """Count it against the pace, if it will really be sent."""
        channel = self._channels.get(head.route.channel)
        if channel is not None and channel.ready(head.route.account_id) and not overdue(head, now):
            self._fly(head.lane, channel.scopes(effective_route(head)), monotonic)


def _by_account(heads: Sequence[Delivery]) -> dict[tuple[str, str], list[Delivery]]:
    """Group heads, oldest first: pacing and priority are an account's."""
    groups: dict[tuple[str, str], list[Delivery]] = {}
    for head in sorted(heads, key=lambda each: each.created_at):
        groups.setdefault((head.route.channel, head.route.account_id), []).append(head)
    return groups
