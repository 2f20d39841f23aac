"""What a program has said: the newest of it, and what nobody has read yet. No I/O."""

from __future__ import annotations

import codecs
from typing import Final

LINES_SHOWN: Final = 200


class Said:
    """Keeps the tail of what a program says, and hands out each word once to whoever polls."""

    def __init__(self, most: int, unread_most: int) -> None:
        self._most = most
        self._unread_most = unread_most
        # A character may come in two halves.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._unread = ""
        self.dropped = 0  # characters at the beginning that are no longer kept
        self._unread_dropped = 0

    def hear(self, chunk: bytes) -> None:
        """Take in what it says."""
        text = self._decoder.decode(chunk)
        self._text, gone = _tail(self._text + text, self._most)
        self.dropped += gone
        self._unread, gone = _tail(self._unread + text, self._unread_most)
        self._unread_dropped += gone

    def unread(self) -> str:
        """Return what came since the last call; its beginning is cut if it is too much."""
        words, gone = self._unread, self._unread_dropped
        self._unread, self._unread_dropped = "", 0
        return f"[{gone} earlier characters: see log]\n{words}" if gone else words

    def clear(self) -> None:
        """Forget everything that was said."""
        self._text = self._unread = ""
        self._unread_dropped = 0

    @property
    def text(self) -> str:
        """Everything that is kept."""
        return self._text

    def page(self, offset: int | None, limit: int | None) -> str:
        """Return some lines, the last 200 unless told otherwise, with a hint how to go on."""
        lines = self._text.splitlines()
        if offset is None:
            shown = lines[-(limit or LINES_SHOWN) :]
            first = len(lines) - len(shown)
        else:
            first = max(offset, 0)
            shown = lines[first : first + (limit or LINES_SHOWN)]
        body = "\n".join(shown)
        if self.dropped:
            body = f"[{self.dropped} characters at the beginning are no longer kept]\n{body}"
        if len(shown) == len(lines):
            return body
        last = first + len(shown)
        return f"{body}\n[lines {first + 1}-{last} of {len(lines)}; offset and limit show others]"


def _tail(text: str, most: int) -> tuple[str, int]:
    gone = max(0, len(text) - most)
    return text[gone:], gone
