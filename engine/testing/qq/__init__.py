"""A QQ bot platform of your own on loopback: its wire formats, and every way it can go wrong.

Point an account's `apiBase` and `tokenUrl` at `QqStandIn.root` (the gateway's address is asked
there) and test your agent with no account. What the bots sent is in ``sent``; ``user_writes``
and ``group_writes`` speak to them; ``fail`` makes the next requests of a kind go wrong
(`Wrong`); ``close``, ``drop``, ``ask_to_reconnect`` and ``invalidate`` end connections.

    async with QqStandIn() as qq:
        await qq.connected()
        await qq.user_writes("hello", openid="A" * 32)
        message = await qq.next_sent()
        assert message.msg_id  # an answer, not a message of its own

Formats: the platform's pages at bot.q.qq.com/wiki/develop/api-v2 (access token, gateway, opcodes,
close codes, c2c, group and guild messages and events), read against the public kits
tencent-connect/botpy, nonebot/adapter-qq and Teahouse-Studios/qq-botpy-sdk.
"""

from __future__ import annotations

from engine.testing.qq.platform import SentFile as SentFile, SentMessage as SentMessage
from engine.testing.qq.stand_in import QqStandIn as QqStandIn
from engine.testing.qq.wrong import Wrong as Wrong
