"""A mail server on loopback that speaks as much IMAP as a count of unseen mail needs."""

from __future__ import annotations

import asyncio
import base64
import socket
import socketserver
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

CERTIFICATE = Path(__file__).parents[1] / "fixtures" / "imap" / "localhost.pem"
OPEN = frozenset({"CAPABILITY", "LOGIN", "AUTHENTICATE", "STARTTLS", "LOGOUT"})


def server_tls() -> ssl.SSLContext:
    """What the server shows: a certificate of its own for ``localhost``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_tls() -> ssl.SSLContext:
    """What somebody believes who knows that certificate."""
    return ssl.create_default_context(cafile=CERTIFICATE)


class ImapServer(socketserver.ThreadingTCPServer):
    """One account, its folders, and every command that came."""

    daemon_threads = False  # all of them have ended when the server has

    def __init__(self, *, tls: bool = False, hangs: bool = False) -> None:
        self.user, self.password = "ann@example.org", 'h"us\\h-hush'
        self.folders = {"INBOX": (0, 1)}  # unseen, next uid
        self.commands: list[str] = []
        self.refusal = "LOGIN failed"
        self.gone = threading.Event()
        self.tls, self.hangs = tls, hangs
        super().__init__(("127.0.0.1", 0), _Talk)
        self.port = int(self.server_address[1])

    async def __aenter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.shutdown)
        self._thread.join()
        self.server_close()

    def answers(self, tag: str, rest: str) -> list[str]:
        word, _, given = rest.partition(" ")
        match word:
            case "CAPABILITY":
                return ["* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN", f"{tag} OK done"]
            case "LOGIN":
                quoted = self.password.replace("\\", "\\\\").replace('"', '\\"')
                return [self._judged(tag, given == f'{self.user} "{quoted}"')]
            case "AUTHENTICATE":
                plain = base64.b64decode(given.split()[-1]).decode()
                return [self._judged(tag, plain == f"\0{self.user}\0{self.password}")]
            case "STATUS":
                name = given.split('"')[1]
                if name not in self.folders:
                    return [f"{tag} NO there is no such folder"]
                unseen, uid = self.folders[name]
                found = f"(UNSEEN {unseen} UIDNEXT {uid} UIDVALIDITY 7)"
                return [f'* STATUS "{name}" {found}', f"{tag} OK done"]
            case _:
                return [f"{tag} {'OK' if word in OPEN else 'BAD'} {word}"]

    def _judged(self, tag: str, right: bool) -> str:
        return f"{tag} OK welcome" if right else f"{tag} NO {self.refusal}"


class _Talk(socketserver.BaseRequestHandler):
    server: ImapServer

    def handle(self) -> None:
        with suppress(OSError):
            line = self._safe(self.request) if self.server.tls else self.request
            if not self.server.hangs:
                line.sendall(b"* OK ready\r\n")
            self._talk(line)
        self.server.gone.set()

    def _talk(self, line: socket.socket) -> None:
        while said := self._line(line):
            self.server.commands.append(said)
            tag, _, rest = said.partition(" ")
            if rest == "AUTHENTICATE PLAIN":
                line.sendall(b"+ \r\n")
                rest += " " + self._line(line)
            answers = self.server.answers(tag, rest)
            line.sendall("".join(f"{one}\r\n" for one in answers).encode())
            if rest == "STARTTLS":
                line = self._safe(line)
            if rest == "LOGOUT":
                break
        line.close()

    def _line(self, line: socket.socket) -> str:
        got = bytearray()
        while not got.endswith(b"\n") and (part := line.recv(1)):
            got += part
        return got.decode().rstrip("\r\n")

    def _safe(self, line: socket.socket) -> socket.socket:
        return server_tls().wrap_socket(line, server_side=True)
