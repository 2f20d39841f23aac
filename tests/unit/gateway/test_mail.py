"""Unseen mail is counted, nothing is marked, and the password stays here (heartbeat.md §25-15)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine.decisions.probes import Mailbox, MailCount, MailSecurity
from gateway.mail import count_mail
from tests.fakes.imap import ImapServer, client_tls


def mailbox(server: ImapServer, security: MailSecurity = MailSecurity.NONE) -> Mailbox:
    return Mailbox(
        host="localhost", port=server.port, user=server.user, password=server.password,
        folder="INBOX", security=security,
    )  # fmt: skip


async def here(_host: str, _port: int) -> str:
    return "127.0.0.1"


async def refusal(box: Mailbox, judged: Any = here) -> str:
    with pytest.raises(OSError, match=r"\w") as told:
        await count_mail(box, judged)
    assert box.password not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("security", MailSecurity)
async def test_unseen_mail_is_counted_and_no_folder_is_opened(security: MailSecurity) -> None:
    async with ImapServer(tls=security is MailSecurity.TLS) as server:
        server.folders["INBOX"] = (3, 42)
        found = await count_mail(mailbox(server, security), here, tls=client_tls())
    assert found == MailCount(unseen=3, next_uid=42, validity=7)
    words = {line.split()[1] for line in server.commands}
    assert words <= {"CAPABILITY", "STARTTLS", "LOGIN", "STATUS", "LOGOUT"}


@pytest.mark.parametrize("security", [MailSecurity.TLS, MailSecurity.STARTTLS])
async def test_a_certificate_nobody_vouches_for_gets_no_password(security: MailSecurity) -> None:
    async with ImapServer(tls=security is MailSecurity.TLS) as server:
        said = await refusal(mailbox(server, security))
    assert "certificate is not believed" in said
    assert not any("LOGIN" in line for line in server.commands)


async def test_a_certificate_of_another_name_gets_no_password() -> None:
    async with ImapServer(tls=True) as server:
        box = replace(mailbox(server, MailSecurity.TLS), host="mail.example.org")
        with pytest.raises(OSError, match="certificate is not believed"):
            await count_mail(box, here, tls=client_tls())
    assert server.commands == []


async def test_without_tls_a_password_leaves_for_no_other_machine() -> None:
    async def elsewhere(_host: str, _port: int) -> str:
        return "192.0.2.1"

    async with ImapServer() as server:
        assert "not sent in the clear" in await refusal(mailbox(server), elsewhere)


@pytest.mark.parametrize("host", ["nobody.invalid", "10.0.0.1"])
async def test_a_server_that_may_not_be_reached_is_not_called(host: str) -> None:
    async def judged(host: str, _port: int) -> str:
        raise OSError(f"{host} is a private address")

    async with ImapServer() as server:
        box = replace(mailbox(server), host=host)
        assert await refusal(box, judged) == f"{host} is a private address"
    assert server.commands == []


async def test_a_refused_password_is_told_without_it() -> None:
    async with ImapServer() as server:
        box = replace(mailbox(server), password="wrong-hush")
        server.refusal = "no: wrong-hush is not the password"
        assert await refusal(box) == "no: *** is not the password"


async def test_a_password_of_any_letters_is_sent_as_it_is() -> None:
    async with ImapServer() as server:
        server.password = "pässwört"
        assert (await count_mail(mailbox(server), here)).unseen == 0


@pytest.mark.parametrize(("folder", "sent"), [("Entwürfe", "Entw&APw-rfe"), ('a"&b', r"a\"&-b")])
async def test_a_folder_is_called_as_the_server_knows_it(folder: str, sent: str) -> None:
    async with ImapServer() as server:
        said = await refusal(replace(mailbox(server), folder=folder))
    assert said == "there is no such folder"
    assert f'STATUS "{sent}"' in "\n".join(server.commands)


async def test_a_line_break_in_a_password_is_no_command() -> None:
    async with ImapServer() as server:
        said = await refusal(replace(mailbox(server), password="x\r\nA1 DELETE INBOX"))
    assert said == "its name, its password or its folder cannot be sent"
    assert not any("DELETE" in line for line in server.commands)


async def test_a_server_that_says_nothing_is_left_when_the_look_ends() -> None:
    async with ImapServer(hangs=True) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await count_mail(mailbox(server), here)
        assert await asyncio.to_thread(server.gone.wait, 5)
