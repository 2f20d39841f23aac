"""HTML as the platform reads it: known tags, closed in order, or a refusal."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

from engine.testing.telegram.wrong import CANNOT_PARSE, Refusal

_ALLOWED_TAGS: Final = frozenset(
    {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre"}
    | {"blockquote", "tg-spoiler", "span", "tg-emoji"}
)


class _Html(HTMLParser):
    """The platform's parser, as strict as the platform: known tags, closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.visible: list[str] = []

    def handle_starttag(
        self,
        tag: str,
        attrs: list[tuple[str, str | None]],  # noqa: ARG002 - the base class passes them
    ) -> None:
        if tag not in _ALLOWED_TAGS:
            raise Refusal(400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise Refusal(400, CANNOT_PARSE)

    def handle_data(self, data: str) -> None:
        self.visible.append(data)


def read_as_platform(text: str) -> str:
    """Return what a person sees of HTML text; raises `Refusal` where the platform would."""
    parser = _Html()
    parser.feed(text)
    parser.close()
    if parser.open:
        raise Refusal(400, "Bad Request: can't parse entities: can't find end tag")
    return "".join(parser.visible)
