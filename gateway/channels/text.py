"""Text for platforms: cut to size, markup translated, nothing broken on the way (channels.md §6).

Chunks are cut from Markdown and rendered one by one, so a chunk is whole in itself: a fence
that is cut is closed and opened again, and no cut falls into a link, a tag or a grapheme.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

Measure = Callable[[str], int]

MAX_CHUNKS: Final = 8
TRUNCATED: Final = "\n\n… (truncated)"


def utf16_units(text: str) -> int:
    """Return the length as Telegram counts it: characters beyond the BMP are two."""
    return len(text) + sum(1 for char in text if ord(char) > 0xFFFF)


def code_points(text: str) -> int:
    """Return the length as QQ counts it."""
    return len(text)


def clean(text: str) -> str:
    """Return text that any platform can carry: pairs joined, lone surrogates and NUL replaced."""
    text = text.replace("\0", "").replace("\r\n", "\n")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?=[/?#:\s]|$|\W)"
)


def defanged(text: str) -> str:
    """Spell addresses so that nothing links to them: some platforms refuse links (§6)."""

    def spelt(found: re.Match[str]) -> str:
        scheme = (found["scheme"] or "").replace("://", "[:]//")
        return scheme + found["host"].replace(".", "[.]")

    return _ADDRESS.sub(spelt, text)


@dataclass(frozen=True, slots=True)
class Plan:
    """The chunks of one message; ``truncated`` if not everything fits into the most allowed."""

    chunks: tuple[str, ...]
    truncated: bool = False


_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n`]*)$", re.MULTILINE)
# What a cut must not fall into: links, addresses, tags, entities, inline code.
_WHOLE = re.compile(
    r"!?\[[^\]\n]{0,500}\]\([^)\s]{1,1000}\)|<[A-Za-z/][^<>\n]{0,500}>|&[#\w]{1,10};"
    r"|https?://[^\s<>]{1,1000}|`[^`\n]{1,300}`"
)
_BREAKS = (re.compile(r"\n[ \t]*\n"), re.compile(r"\n"), re.compile(r"[.!?。！？…][\s)]|[。！？]"))
_SPACE = re.compile(r"\s")
_LONGEST_OPENER: Final = 40


def chunk(
    text: str,
    limit: int,
    measure: Measure = utf16_units,
    *,
    mode: str = "newline",
    max_chunks: int = MAX_CHUNKS,
) -> Plan:
    """Cut Markdown into chunks of at most ``limit`` each; blank text gives none.

    ``newline`` prefers blank lines, then line ends, sentences and spaces; ``length`` fills
    every chunk and avoids only what must stay whole.
    """
    rest = clean(text).strip("\n").rstrip()
    if not rest.strip():
        return Plan(())
    chunks: list[str] = []
    fence = ""  # how the fence that is open at the cut was opened
    while rest:
        head = f"{fence}\n" if fence else ""
        if measure(head + rest) <= limit:
            chunks.append(head + rest)
            break
        if len(chunks) == max_chunks - 1:
            chunks.append(_last(head, rest, limit, measure))
            return Plan(tuple(chunks), truncated=True)
        piece, rest, fence = _cut(head, rest, limit, measure, mode)
        if piece.strip():
            chunks.append(piece)
    return Plan(tuple(chunks))


def _cut(head: str, rest: str, limit: int, measure: Measure, mode: str) -> tuple[str, str, str]:
    """Return the next chunk, what is left, and the opener of the fence that was cut."""
    marks = [len(match[1]) for match in _FENCE.finditer(head + rest[:limit])]
    closing_room = min(1 + max(marks), limit // 2) if marks else 0
    room = limit - measure(head) - closing_room
    at = _place(rest, _fit(rest, max(room, 1), measure), mode, fenced=bool(head))
    piece, left = head + rest[:at].rstrip(), rest[at:]
    opener = open_fence(piece)
    if not opener:
        return piece, left.lstrip("\n"), ""
    closing = opener[: len(opener) - len(opener.lstrip(opener[0]))]
    if len(opener) > _LONGEST_OPENER:
        opener = closing
    return f"{piece}\n{closing}", left.removeprefix("\n"), opener


def _last(head: str, rest: str, limit: int, measure: Measure) -> str:
    room = limit - measure(TRUNCATED)
    piece, _, _ = _cut(head, rest, max(room, 9), measure, "newline")
    return piece + TRUNCATED


def _fit(text: str, room: int, measure: Measure) -> int:
    """Return the most characters whose measure is within ``room``, at least one."""
    low, high = 1, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def open_fence(text: str) -> str:
    """Return the opening line of the code fence that is open at the end of ``text``, or ''."""
    opener = mark = ""
    for match in _FENCE.finditer(text):
        run = match[1]
        if not opener:
            opener, mark = match[0].strip(), run
        elif run[0] == mark[0] and len(run) >= len(mark) and not match[2].strip():
            opener = mark = ""
    return opener


def _place(text: str, fit: int, mode: str, *, fenced: bool) -> int:
    """Return where to cut: the best break in the last half, else the nearest harmless place."""
    if fit >= len(text):
        return len(text)
    window = text[: fit + 1600]
    whole = [match.span() for match in _WHOLE.finditer(window)]
    whole += [match.span() for match in _FENCE.finditer(window)]

    def harmless(at: int) -> bool:
        return _between_graphemes(text, at) and not any(a < at < b for a, b in whole)

    if mode == "newline" or fenced:
        for pattern in _BREAKS:
            ends = [m.end() for m in pattern.finditer(text, fit // 2, fit) if harmless(m.end())]
            if ends:
                return ends[-1]
    for at in range(fit, fit // 2, -1):
        if _SPACE.match(text, at - 1) and harmless(at):
            return at
    return next((at for at in range(fit, 0, -1) if harmless(at)), _grapheme_end(text, fit))


def _grapheme_end(text: str, fit: int) -> int:
    """A span longer than a whole chunk cannot stay whole; its characters still can."""
    return next((at for at in range(fit, 0, -1) if _between_graphemes(text, at)), fit)


_JOINER: Final = "\u200d"


def _between_graphemes(text: str, at: int) -> bool:
    """Whether a cut before ``text[at]`` leaves every visible character whole."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if after.isascii():
        return not (before == "\r" and after == "\n")
    if before == _JOINER or after == _JOINER or _extends(after):
        return False
    if _is_flag(before) and _is_flag(after):  # flags are pairs of letters: count from the start
        start = at
        while start > 0 and _is_flag(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 0
    return True


def _extends(char: str) -> bool:
    code = ord(char)
    return (
        unicodedata.category(char) in ("Mn", "Me", "Mc")
        or 0xFE00 <= code <= 0xFE0F  # variation selectors
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or 0xE0020 <= code <= 0xE007F  # tag characters of regional flags
    )


def _is_flag(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


_INLINE = re.compile(
    r"(?P<code>`+)(?P<code_text>.+?)(?P=code)(?!`)"
    r"|!?\[(?P<label>[^\]\n]+)\]\((?P<link>(?:https?|tg|mailto):[^)\s]+)\)"
    r"|\*\*(?P<bold>(?=\S).+?(?<=\S))\*\*"
    r"|(?<!\w)__(?P<under>(?=\S).+?(?<=\S))__(?!\w)"
    r"|~~(?P<strike>(?=\S).+?(?<=\S))~~"
    r"|\|\|(?P<spoiler>(?=\S).+?(?<=\S))\|\|"
    r"|(?<![\w*])\*(?P<star>(?=[^\s*]).+?(?<=[^\s*]))\*(?![\w*])"
    r"|(?<![\w_])_(?P<dash>(?=[^\s_]).+?(?<=[^\s_]))_(?![\w_])"
    r"|\\(?P<literal>[\\`*_{}\[\]()#+\-.!|~>])"
)
_TAGS: Final = {
    "bold": "b",
    "under": "b",
    "strike": "s",
    "spoiler": "tg-spoiler",
    "star": "i",
    "dash": "i",
}
_HEADING = re.compile(r" {0,3}#{1,6}\s+(.+?)\s*#*$")
_BULLET = re.compile(r"(\s*)[-*+]\s+(.*)")
_DEEPEST: Final = 8  # markup nested deeper than this is left as typed


def telegram_html(markdown: str) -> str:
    """Translate Markdown into the HTML subset of the Bot API; always well-formed.

    Everything is escaped first, so HTML an agent wrote is shown, never interpreted.
    """
    return "\n".join(_blocks(clean(markdown).split("\n")))


def _blocks(lines: list[str]) -> Iterator[str]:
    index = 0
    while index < len(lines):
        if fence := _FENCE.fullmatch(lines[index]):
            end = _fence_end(lines, index + 1, fence[1])
            yield _preformatted(lines[index + 1 : end], fence[2])
            index = end + 1
        elif lines[index].startswith(">"):
            end = index
            while end < len(lines) and lines[end].startswith(">"):
                end += 1
            quoted = "\n".join(_line(line[1:].removeprefix(" ")) for line in lines[index:end])
            yield f"<blockquote>{quoted}</blockquote>"
            index = end
        else:
            yield _line(lines[index])
            index += 1


def _fence_end(lines: list[str], start: int, mark: str) -> int:
    for index in range(start, len(lines)):
        stripped = lines[index].strip()
        if stripped.startswith(mark) and not stripped.strip(mark[0]):
            return index
    return len(lines)


def _preformatted(lines: list[str], info: str) -> str:
    body = escape("\n".join(lines), quote=False)
    language = info.strip().split(" ")[0]
    if not language:
        return f"<pre>{body}</pre>"
    return f'<pre><code class="language-{escape(language)}">{body}</code></pre>'


def _line(line: str) -> str:
    if heading := _HEADING.fullmatch(line):
        return f"<b>{_inline(heading[1], 1, inside='b')}</b>"
    if bullet := _BULLET.fullmatch(line):
        return f"{bullet[1]}• {_inline(bullet[2], 0)}"
    return _inline(line, 0)


def _inline(text: str, depth: int, inside: str = "") -> str:
    if depth > _DEEPEST:
        return escape(text, quote=False)
    parts: list[str] = []
    at = 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[at : match.start()], quote=False))
        parts.append(_span(match, depth, inside))
        at = match.end()
    parts.append(escape(text[at:], quote=False))
    return "".join(parts)


def _span(match: re.Match[str], depth: int, inside: str) -> str:
    if match["code"]:
        return f"<code>{escape(match['code_text'].strip() or ' ', quote=False)}</code>"
    if match["link"]:
        label = _inline(match["label"], depth + 1, inside)
        return f'<a href="{escape(match["link"])}">{label}</a>'
    if match["literal"]:
        return escape(match["literal"], quote=False)
    kind = next(name for name in _TAGS if match[name])
    tag = _TAGS[kind]
    content = _inline(match[kind], depth + 1, tag)
    return content if tag == inside else f"<{tag}>{content}</{tag}>"
