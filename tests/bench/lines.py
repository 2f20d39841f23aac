"""Clients of the gateway that cost little: whole frames over plain sockets, one loop of epoll.

The bench measures the gateway, so its client must not be what is slow. A library that reads
frames for a person costs more a call than the gateway does; here a request is bytes made once
(the mask is zero, which the gateway has to undo all the same), and of an answer only its end is
looked for.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any

HELLO_SECONDS = 20.0


class Line:
    """One WebSocket to a gateway of this machine."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=HELLO_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b""  # of a frame that has not come whole
        self._upgrade(port)
        self._greet(token)
        self.socket.setblocking(False)

    def _upgrade(self, port: int) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        while b"\r\n\r\n" not in self.left:
            self.left += self._more()
        status, _, self.left = self.left.partition(b"\r\n\r\n")
        if not status.startswith(b"HTTP/1.1 101"):
            raise OSError(status.decode("latin-1"))

    def _greet(self, token: str) -> None:
        self._next()  # the challenge
        self.socket.sendall(request("h", "connect", greeting(token)))
        while (answer := json.loads(self._next())).get("id") != "h":
            pass
        if not answer["ok"]:
            raise OSError(answer["error"]["message"])

    def _more(self) -> bytes:
        data = self.socket.recv(262_144)
        if not data:
            raise OSError("the gateway closed the connection")
        return data

    def _next(self) -> bytes:
        while True:
            for payload, rest in messages(self.left):
                self.left = self.left[rest:]
                return payload
            self.left += self._more()

    def read(self) -> list[bytes]:
        """Return every message that has come whole by now; raises `OSError` at the end."""
        try:
            data = self.left + self._more()
        except BlockingIOError:
            return []
        found, end = [], 0
        for payload, rest in messages(data):
            found.append(payload)
            end = rest
        self.left = data[end:]
        return found

    def close(self) -> None:
        """Say goodbye and go."""
        self.socket.setblocking(True)
        self.socket.sendall(b"\x88\x80\0\0\0\0")
        self.socket.close()


def greeting(token: str) -> dict[str, Any]:
    """Return the params of `connect` of a client that reads."""
    client = {"id": "cli", "mode": "cli", "version": "1", "platform": "bench"}
    told = {"minProtocol": 4, "maxProtocol": 4, "client": client, "auth": {"token": token}}
    return {**told, "scopes": ["operator.read"]}


def request(number: str, method: str, params: object = None) -> bytes:
    """Return the frame of a request, masked with zeroes."""
    told = {"type": "req", "id": number, "method": method}
    body = json.dumps(told if params is None else {**told, "params": params}).encode()
    size = len(body)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else _long(size)
    return head + b"\0\0\0\0" + body


def _long(size: int) -> bytes:
    return struct.pack("!BBH", 0x81, 0xFE, size)


def messages(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the text of each whole frame of a gateway, and where the next begins; no pings."""
    at, length = 0, len(data)
    while length - at >= 2:
        size, body = data[at + 1], at + 2
        if size == 126:
            size, body = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, body = int.from_bytes(data[at + 2 : at + 10]), at + 10
        if body > length or body + size > length:
            return
        if data[at] == 0x81:
            yield data[body : body + size], body + size
        at = body + size


def storm(lines: Sequence[Line], method: str, calls: int) -> list[float]:
    """Let every line call one after the other; how long each call took, in seconds."""
    asked = request("1", method)
    poll, by_number = select.epoll(), {line.socket.fileno(): line for line in lines}
    left = dict.fromkeys(by_number, calls)
    sent: dict[int, float] = {}
    took: list[float] = []
    for number, line in by_number.items():
        poll.register(number, select.EPOLLIN)
        sent[number] = time.perf_counter()
        line.socket.send(asked)
    while sent:
        for number, _ in poll.poll():
            line = by_number[number]
            if not any(b'"type":"res"' in one[:14] for one in line.read()):
                continue  # an event
            now = time.perf_counter()
            took.append(now - sent.pop(number))
            left[number] -= 1
            if left[number]:
                sent[number] = time.perf_counter()
                line.socket.send(asked)
    poll.close()
    return took
