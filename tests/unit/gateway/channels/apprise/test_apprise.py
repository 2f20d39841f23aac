"""The apprise channel without its library: which services, which fault, and no secret anywhere."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.messages.address import Route
from engine.messages.cargo import stow
from engine.messages.fault import FaultClass
from engine.messages.media import Media, MediaKind
from gateway.channels.apprise.channel import AppriseChannel
from gateway.channels.apprise.wire import AppriseAccount, fault_of, services_for
from gateway.channels.attempts import refusal, trouble
from gateway.channels.base import Attempt, ChannelError
from tests.fakes.hook_server import HookServer

ACCOUNTS = {
    "ops": AppriseAccount(id="ops", urls=("slack://hush/a", "json://hush/b"), tags=("Work",)),
    "home": AppriseAccount(id="home", urls=("ntfy://hush/c",), tags=("family", "work")),
    "off": AppriseAccount(id="off", urls=("mailto://hush/d",), tags=("work",), enabled=False),
}


@pytest.mark.parametrize(
    ("to", "urls"),
    [
        ("ops", ("slack://hush/a", "json://hush/b")),
        ("OPS", ("slack://hush/a", "json://hush/b")),
        ("family", ("ntfy://hush/c",)),
        ("work", ("slack://hush/a", "json://hush/b", "ntfy://hush/c")),
        ("all", ("ntfy://hush/c",)),
        ("off", ()),
        ("nobody", ()),
    ],
)
def test_a_recipient_is_an_account_or_a_tag(to: str, urls: tuple[str, ...]) -> None:
    assert services_for("home", to, ACCOUNTS) == urls


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Failed to send notification: Unauthorized, error=401.", FaultClass.AUTH),
        ("Failed to send: error=403.", FaultClass.AUTH),
        ("Failed to send: Not found, error=404.", FaultClass.NOT_FOUND),
        ("Failed: Bad Request, error=400.", FaultClass.CONTENT_REJECTED),
        ("Failed: too much, error=413.", FaultClass.TOO_LONG),
        ("Failed: Too Many Requests, error=429.", FaultClass.RATE_LIMITED),
        ("Failed: Internal Server Error, error=500.", FaultClass.SERVER),
        ("A Connection error occurred sending JSON notification to hush.", FaultClass.SERVER),
    ],
)
def test_the_class_comes_from_the_code_in_the_log(line: str, kind: FaultClass) -> None:
    fault = fault_of("slack://hush/a", ["Notifying 1 service(s).", line])
    assert fault.fault is kind
    assert "slack" in fault.detail
    assert "hush" not in str(fault)


class Said:
    """Services that take or refuse by their scheme."""

    def __init__(self, **refusing: str) -> None:
        self.refusing = refusing
        self.told: list[tuple[str, str]] = []

    def __call__(self, url: str, attempt: Attempt) -> tuple[bool, Sequence[str]]:
        self.told.append((url, attempt.text))
        line = self.refusing.get(url.partition(":")[0])
        return line is None, [] if line is None else [line]


def channel(said: Said, *, there: bool = True) -> AppriseChannel:
    return AppriseChannel(list(ACCOUNTS.values()), notify=said, there=lambda: there)


def attempt(to: str = "ops") -> Attempt:
    route = Route(channel="apprise", account_id="ops", to=to)
    return Attempt(key="k", chunk_index=0, route=route, text="hello")


async def test_every_service_of_an_account_is_told() -> None:
    said = Said()
    sent = await channel(said).send(attempt())
    assert sorted(said.told) == [("json://hush/b", "hello"), ("slack://hush/a", "hello")]
    assert (sent.message_id, sent.accepted) == ("k#0 (2/2 services)", True)


async def test_what_one_took_is_not_said_again_and_the_other_stands_in_the_status() -> None:
    one = channel(Said(slack="error=401."))
    assert (await one.send(attempt())).message_id == "k#0 (1/2 services)"
    (ops, *_) = one.status()
    assert ops.last_error == "auth: slack answered 401"


async def test_what_nobody_took_is_a_fault_that_time_may_mend() -> None:
    with pytest.raises(ChannelError) as met:
        await channel(Said(slack="error=401.", json="error=503.")).send(attempt())
    assert met.value.fault.fault is FaultClass.SERVER


async def test_a_recipient_nobody_knows_is_not_found() -> None:
    with pytest.raises(ChannelError) as met:
        await channel(Said()).send(attempt("nobody"))
    assert met.value.fault.fault is FaultClass.NOT_FOUND
    assert "'nobody'" in met.value.fault.detail


async def test_without_its_library_it_says_which_extra_is_missing() -> None:
    absent = channel(Said(), there=False)
    (status, *_) = absent.status()
    assert not absent.ready("ops")
    assert (status.runtime, status.configured) == ("fatal", True)
    assert refusal(attempt().route, absent) == "channel-not-installed"
    told = trouble(attempt().route, absent)
    assert told is not None
    assert told["detail"] == "pip install 'heartbeat-engine[apprise]'"
    assert (await absent.probe("ops"))["ok"] is False


def test_no_secret_is_in_what_is_told() -> None:
    one = channel(Said())
    assert "hush" not in repr(ACCOUNTS)
    assert "hush" not in str(one.status())


@pytest.fixture
def library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of its plug-ins use what Python warns of
        library = pytest.importorskip("apprise")
        library.Apprise().add("json://127.0.0.1")
    return library


def report(folder: Path) -> Media:
    path = folder / "0a1b-report.pdf"
    path.write_bytes(b"%PDF-1.4 hush")
    return Media(kind=MediaKind.FILE, name="report.pdf", path=str(path), size=13)


@pytest.mark.usefixtures("library")
async def test_a_file_goes_with_its_words_to_a_service_that_takes_files(tmp_path: Path) -> None:
    async with HookServer() as server:
        url = server.url.replace("http", "json", 1)
        real = AppriseChannel([AppriseAccount(id="ops", urls=(url,))])
        await real.send(replace(attempt(), media=report(tmp_path)))
    (hook,) = server.hooks
    (file,) = hook.body["attachments"]
    assert (hook.body["message"], file["filename"]) == ("hello", "report.pdf")
    assert base64.b64decode(file["base64"]) == b"%PDF-1.4 hush"


@pytest.mark.usefixtures("library")
async def test_a_service_that_takes_no_files_gets_a_word_about_them(tmp_path: Path) -> None:
    async with HookServer() as server:
        url = server.url.replace("http", "gotify", 1).partition("/hook")[0] + "/token"
        real = AppriseChannel([AppriseAccount(id="ops", urls=(url,))])
        await real.send(replace(attempt(), media=report(tmp_path)))
    (hook,) = server.hooks
    assert (
        hook.body["message"] == "hello\n(report.pdf, 13 bytes, was not sent: gotify takes no files)"
    )


async def test_a_refused_file_or_one_that_is_gone_costs_no_words(tmp_path: Path) -> None:
    one = channel(Said(slack="error=413.", json="error=413."))
    for media in (report(tmp_path), Media(kind=MediaKind.FILE, name="x", path="/nowhere/x")):
        with pytest.raises(ChannelError) as met:
            await one.send(replace(attempt(), media=media))
        assert met.value.fault.fault is FaultClass.MEDIA_REFUSED


def test_an_address_goes_as_a_link_and_is_not_fetched_by_this_machine() -> None:
    link = Media(kind=MediaKind.IMAGE, name="p.png", url="http://10.0.0.1/p.png")
    stowed = stow([link], channel(Said()).carries(attempt().route), 8)
    assert (stowed.parts, stowed.words) == ((), ("http://10.0.0.1/p.png",))


@pytest.mark.usefixtures("library")
async def test_the_library_itself_is_heard() -> None:
    async with HookServer() as server:
        server.answers = [(429, {})]
        url = server.url.replace("http", "json", 1)
        real = AppriseChannel([AppriseAccount(id="ops", urls=(url,))])
        assert (await real.probe("ops"))["ok"] is True
        with pytest.raises(ChannelError) as met:
            await real.send(attempt())
        assert met.value.fault.fault is FaultClass.RATE_LIMITED
        bad = AppriseChannel([AppriseAccount(id="ops", urls=("nope://hush",))])
        assert (await bad.probe("ops"))["detail"] == "probe failed: url 1 (nope) is not understood"
