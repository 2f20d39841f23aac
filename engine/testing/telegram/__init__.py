"""A Bot API of your own on loopback: the real wire format, and every way it can go wrong.

Point `channels.telegram.accounts.<id>.apiRoot` at `TelegramStandIn.root` and test your
agent with no account. What the bot sent is in ``sent``; ``user_writes`` speaks to it;
``fail`` makes the next calls of a method go wrong (`Wrong`).

    async with TelegramStandIn() as telegram:
        telegram.user_writes("hello", chat_id=42)
        message = await telegram.next_sent()
        assert message.chat_id == 42
"""

from __future__ import annotations

from engine.testing.telegram.stand_in import TelegramStandIn as TelegramStandIn
from engine.testing.telegram.wrong import Wrong as Wrong
