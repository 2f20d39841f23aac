"""Counts unseen mail for a heartbeat's probe, over IMAP (heartbeat.md §25-15, RFC 9051).

Only ``STATUS`` is asked: no folder is opened, no mail is read, nothing is marked as seen. The
host is resolved once and called by the address that was judged, as webhooks are.
"""

from __future__ import annotations

import asyncio
import imaplib
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from engine.agents.secrets import redacted
from engine.decisions.probes import Mailbox, MailCount, MailSecurity

Judged = Callable[[str, int], Awaitable[str]]  # the address of a host, or an `OSError` with why

_STEP: Final = 15.0  # seconds of silence; the probe's own limit ends the whole look
_MOST: Final = 100_000  # bytes of one answer; a server that says more is not listened to
_WANTED: Final = ("UNSEEN", "UIDNEXT", "UIDVALIDITY")
_UNQUOTED: Final = re.compile(r'[\\"]')


async def count_mail(
    box: Mailbox, judged: Judged, *, tls: ssl.SSLContext | None = None
) -> MailCount:
    """Return what the server says of a mailbox now.

    Raises `OSError` with what went wrong, without the password. ``tls`` is for servers whose
    certificate only a test knows; otherwise the machine's own authorities are asked.
    """
    address = await judged(box.host, box.port)
    if box.security is MailSecurity.NONE and not ipaddress.ip_address(address).is_loopback:
        raise OSError("a password is not sent in the clear: set security to tls or starttls")
    line = _Line(box, address, tls or ssl.create_default_context())
    try:
        return await asyncio.to_thread(line.count)
    except asyncio.CancelledError:
        line.cut()  # the thread reads until then
        raise


class _Line:
    """One connection, used by one thread; may be cut by another."""

    def __init__(self, box: Mailbox, address: str, tls: ssl.SSLContext) -> None:
        self._box = box
        self._address = address
        self._tls = tls
        self._socket: socket.socket | None = None
        self._is_cut = False

    def cut(self) -> None:
        """End what is waited for."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def dial(self) -> socket.socket:
        """Connect to the address that was judged, under the name that was asked for."""
        line = socket.create_connection((self._address, self._box.port), _STEP)
        self._socket = line
        if self._is_cut:
            self.cut()
        if self._box.security is not MailSecurity.TLS:
            return line
        self._socket = self._tls.wrap_socket(line, server_hostname=self._box.host)
        if self._is_cut:
            self.cut()
        return self._socket

    def count(self) -> MailCount:
        """Log in, ask, and leave."""
        try:
            server = _Imap(self)
            try:
                return self._asked(server)
            finally:
                with suppress(OSError):  # it may be closed already
                    server.shutdown()
        except ssl.SSLCertVerificationError as error:
            raise OSError(f"its certificate is not believed: {error.verify_message}") from None
        except (imaplib.IMAP4.error, OSError, ValueError) as error:
            raise OSError(self._why(error)) from None
        finally:
            if self._socket is not None:
                self._socket.close()

    def _asked(self, server: _Imap) -> MailCount:
        if self._box.security is MailSecurity.STARTTLS:
            server.starttls(self._tls)
            self._socket = server.socket()
        _log_in(server, self._box)
        found = _counted(server, self._box.folder)
        with suppress(imaplib.IMAP4.error, OSError):  # all that was asked was told
            server.logout()
        return found

    def _why(self, error: Exception) -> str:
        """What the server said, or the machine; a server may repeat what it was sent."""
        match error:
            case TimeoutError():
                return "it does not answer"
            case imaplib.IMAP4.error():
                said = error.args[0] if error.args else ""
                text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
                return redacted(text, [self._box.password, _quoted(self._box.password)])
            case OSError():
                return error.strerror or "it was not reached"
            case _:
                return "its name, its password or its folder cannot be sent"


class _Imap(imaplib.IMAP4):
    """The client of the standard library, on a connection of ours."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        super().__init__(line._box.host, line._box.port, _STEP)

    def _create_socket(self, timeout: float | None) -> socket.socket:  # noqa: ARG002 - the library's own hook
        return self._line.dial()

    def read(self, size: int) -> bytes:
        """Read part of an answer, if it is not more than anybody needs."""
        if size > _MOST:
            raise self.abort("it sends more than it was asked for")
        return super().read(size)


def _log_in(server: imaplib.IMAP4, box: Mailbox) -> None:
    if re.search(r"[\r\n\0]", box.password):
        raise ValueError("a line break would be a command of its own")
    if (box.user + box.password).isascii():
        server.login(box.user, box.password)
    else:
        server.authenticate("PLAIN", lambda _: f"\0{box.user}\0{box.password}".encode())


def _counted(server: imaplib.IMAP4, folder: str) -> MailCount:
    kind, answer = server.status(_quoted(_utf7(folder)), f"({' '.join(_WANTED)})")
    said = b" ".join(part for part in answer if isinstance(part, bytes)).decode(errors="replace")
    if kind != "OK":
        raise imaplib.IMAP4.error(said)
    told = {name: int(count) for name, count in re.findall(r"([A-Z]+) (\d{1,20})\b", said)}
    missing = [name for name in _WANTED if name not in told]
    if missing:
        raise imaplib.IMAP4.error(f"it does not say {', '.join(missing)}")
    return MailCount(unseen=told["UNSEEN"], next_uid=told["UIDNEXT"], validity=told["UIDVALIDITY"])


def _quoted(text: str) -> str:
    return '"' + _UNQUOTED.sub(r"\\\g<0>", text) + '"'


def _utf7(folder: str) -> str:
    """Return a folder's name as IMAP writes it: its own UTF-7 (RFC 3501 §5.1.3)."""
    plain = folder.replace("&", "&-")
    return re.sub(r"[^\x20-\x7e]+", _shifted, plain)


def _shifted(found: re.Match[str]) -> str:
    coded = found[0].encode("utf-7").decode("ascii")  # +…-
    return "&" + coded.strip("+-").replace("/", ",") + "-"
