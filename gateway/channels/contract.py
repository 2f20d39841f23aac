"""What every channel promises (channels.md §1), as tests: for ours, and for those of others.

    class TestMyChannel(ChannelContract):
        @pytest.fixture
        async def case(self) -> AsyncIterator[Case]: ...

Needs pytest with pytest-asyncio in auto mode; this module itself imports neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.messages.address import Route
from engine.messages.cargo import stow
from engine.messages.media import Media, MediaKind
from engine.shelf import NotSaved
from gateway.channels.base import Attempt, Channel, ChannelError, FaultClass, Inbound
from gateway.channels.text import chunk

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


@dataclass
class Case:
    """One channel, an address on it, and a way to see what arrived there."""

    channel: Channel
    account: str
    to: str
    arrived: Callable[[], Awaitable[list[str]]]

    def attempt(self, text: str = "hello", *, key: str = "k", index: int = 0) -> Attempt:
        """One part of a message to that address."""
        route = Route(channel=self.channel.id, account_id=self.account, to=self.to)
        return Attempt(key=key, chunk_index=index, route=route, text=text, agent_id="main")


async def nobody(message: Inbound) -> None:
    """Take what people write: here nobody does."""
    raise AssertionError(f"nobody wrote {message.text!r}")


class ChannelContract:
    """The suite; a subclass has a fixture `case`."""

    async def test_a_started_channel_is_ready_and_a_stranger_is_not(self, case: Case) -> None:
        """What was started can send."""
        await case.channel.start(nobody)
        assert case.channel.ready(case.account)

    async def test_what_is_sent_arrives_and_has_an_id(self, case: Case) -> None:
        """A receipt names what arrived, unchanged."""
        await case.channel.start(nobody)
        sent = await case.channel.send(case.attempt("hello 世界 😀"))
        assert sent.message_id
        assert await case.arrived() == ["hello 世界 😀"]

    async def test_two_messages_have_two_ids(self, case: Case) -> None:
        """Receipts can be told apart."""
        await case.channel.start(nobody)
        first = await case.channel.send(case.attempt("one", key="a"))
        second = await case.channel.send(case.attempt("two", key="b"))
        assert first.message_id != second.message_id

    async def test_a_repeat_arrives_once_where_that_is_promised(self, case: Case) -> None:
        """A channel says honestly whether a repeat is harmless."""
        await case.channel.start(nobody)
        attempt = case.attempt("once")
        first = await case.channel.send(attempt)
        second = await case.channel.send(attempt)
        if case.channel.idempotent(attempt):
            assert first.message_id == second.message_id
            assert await case.arrived() == ["once"]
        else:
            assert await case.arrived() == ["once", "once"]

    async def test_every_chunk_of_its_own_plan_can_be_sent(self, case: Case) -> None:
        """Its limit and its measure are the platform's."""
        await case.channel.start(nobody)
        text = "**words** & <marks> 😀 " * 600
        plan = chunk(text, case.channel.limit(case.account), case.channel.measure)
        for index, piece in enumerate(plan.chunks):
            await case.channel.send(case.attempt(piece, index=index))
        assert len(await case.arrived()) == len(plan.chunks)

    async def test_its_limits_are_named_after_the_account(self, case: Case) -> None:
        """One account's pace slows no other."""
        route = case.attempt().route
        mine = {scope.name for scope in case.channel.scopes(route)}
        others = {scope.name for scope in case.channel.scopes(replace(route, account_id="other"))}
        assert not mine & others

    async def test_the_status_lists_the_account_and_no_secret(self, case: Case) -> None:
        """Whoever asks sees the account, and no credential."""
        await case.channel.start(nobody)
        (status,) = case.channel.status()
        assert status.account_id == case.account
        assert status.configured
        assert status.enabled
        assert "stand-in-token" not in str(status)

    async def test_a_probe_says_whether_it_works(self, case: Case) -> None:
        """A probe asks the platform."""
        assert (await case.channel.probe(case.account))["ok"] is True

    async def test_a_file_goes_with_its_words_or_leaves_a_word(
        self, case: Case, tmp_path: Path
    ) -> None:
        """What a channel says it carries arrives with its caption; elsewhere its name does."""
        await case.channel.start(nobody)
        path = tmp_path / "p.png"
        path.write_bytes(PNG)
        photo = Media(
            kind=MediaKind.IMAGE, name="p.png", path=str(path), size=len(PNG), mime="image/png"
        )
        attempt = replace(case.attempt("look"), media=photo)
        stowed = stow([photo], case.channel.carries(attempt.route), 8)
        if not stowed.parts:
            assert "p.png" in stowed.words[0]
            return
        assert (await case.channel.send(attempt)).message_id
        assert await case.arrived() == ["look"]

    async def test_a_file_that_is_gone_is_refused_as_that(self, case: Case) -> None:
        """The words can still go without it."""
        await case.channel.start(nobody)
        gone = Media(kind=MediaKind.FILE, name="p.pdf", path="/nowhere/p.pdf", size=9)
        attempt = replace(case.attempt("look"), media=gone)
        if not stow([gone], case.channel.carries(attempt.route), 8).parts:
            return
        met = None
        try:
            await case.channel.send(attempt)
        except ChannelError as refused:
            met = refused.fault.fault
        assert met is FaultClass.MEDIA_REFUSED
        assert await case.arrived() == []

    async def test_a_file_nobody_sent_cannot_be_brought(self, case: Case) -> None:
        """It says so in words; nothing hangs, nothing comes."""
        await case.channel.start(nobody)
        unknown = Media(kind=MediaKind.FILE, name="x", ref="nobody knows")
        came, because = False, ""
        try:
            async for _ in case.channel.bring(case.account, unknown):
                came = True
        except NotSaved as refused:
            because = str(refused)
        assert because
        assert not came

    async def test_stopping_twice_is_harmless(self, case: Case) -> None:
        """An end is an end."""
        await case.channel.start(nobody)
        await case.channel.stop()
        await case.channel.stop()
