"""The port."""

from __future__ import annotations

import os
import socket

import pytest

from gateway.server import bind
from jobs.errors import OwnershipRefused


def test_port_zero_picks_one_port_for_every_host() -> None:
    sockets = bind(["127.0.0.1", "::1"], 0)
    assert len({bound.getsockname()[1] for bound in sockets}) == 1
    for bound in sockets:
        bound.close()


def test_a_taken_port_is_refused_by_name_and_nothing_stays_open() -> None:
    (first,) = bind(["127.0.0.1"], 0)
    first.listen()
    port = first.getsockname()[1]
    whose = rf"( by pid {os.getpid()} \(.+\))?"
    who = rf"port {port} is in use{whose}\. Choose --port, or --force to stop it\. Fix: engine"
    with pytest.raises(OwnershipRefused, match=who) as refused:
        bind(["127.0.0.1"], port)
    assert refused.value.exit_status == 78
    first.close()


def test_answers_are_never_held_back_by_nagle() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    (bound,) = bind(["127.0.0.1"], 0)
    assert bound.proto == socket.IPPROTO_TCP
    bound.close()
