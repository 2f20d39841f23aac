"""Where the lines come from: the gateway, or its file when it does not answer (S0, L6)."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from engine.cli.ask import Line
from engine.cli.ending import sentence
from engine.config import fast
from engine.log.files import Place, files, placed
from engine.log.reading import record, tail
from gateway.client import Client
from jobs.errors import EngineError, NotFound

_ADDED: Final = ("_meta", "0", "time")  # for other products' command lines (protocol.md §10.1)
_AGAIN: Final = timedelta(seconds=5)  # how often a gateway that does not answer is tried anew


def place_of(line: Line) -> Place:
    """Where the gateway of this home writes."""
    paths = line.place.paths
    given = fast.get(line.place.values, "logging.file")
    file = given if isinstance(given, str) else None
    return Place(folder=paths.logs, file=placed(paths.logs, file, paths.os_home))


@dataclass(slots=True)
class Source:
    """Answers as `logs.tail` does, whoever gives them; says on stderr who does when it changes."""

    line: Line
    interval: timedelta
    said_by: str = "gateway"
    _client: Client | None = None
    _patience: timedelta = timedelta()

    def tail(
        self, cursor: int | None, mark: int | None, *, limit: int, most: int
    ) -> dict[str, Any]:
        """Return the lines behind a cursor, or the newest."""
        if self._client is None and self._patience > timedelta():
            self._patience -= self.interval
            return self._from_file(cursor, mark, limit=limit, most=most)
        wanted = {"cursor": cursor, "mark": mark, "limit": limit, "maxBytes": most}
        params = {key: value for key, value in wanted.items() if value is not None}
        try:
            answer: dict[str, Any] = self._opened().call("logs.tail", params)
        except EngineError as error:
            self.close()
            if not self.line.at_home:
                raise
            self._patience = _AGAIN
            self._change("file", f"{sentence(error)}. Reading the file instead.")
            return self._from_file(cursor, mark, limit=limit, most=most)
        self._change("gateway", "The gateway answers again.")
        return {**answer, "lines": [_unchanged(one) for one in answer.get("lines") or ()]}

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _opened(self) -> Client:
        if self._client is None:
            self.line.place.__dict__.pop("owner", None)  # the next one may have another port
            address = self.line.address
            sent = self.line.credentials
            client = Client(
                address.url, token=sent.token, password=sent.password, timeout=self.line.timeout
            )
            client.open()
            self._client = client
        return self._client

    def _from_file(
        self, cursor: int | None, mark: int | None, *, limit: int, most: int
    ) -> dict[str, Any]:
        place = place_of(self.line)
        if not files(place) and cursor is None:
            raise NotFound(
                "there is no log yet",
                why=f"no gateway has written to {place.folder_in_use}",
                fix=f"{self.line.place.program} gateway",
            )
        return tail(place, cursor, limit=limit, most=most, mark=mark)

    def _change(self, by: str, words: str) -> None:
        if by != self.said_by:
            self.said_by = by
            sys.stderr.write(f"{words}\n")


def _unchanged(line: str) -> str:
    """The line as the gateway wrote it."""
    said = record(line)
    if said is None or "_meta" not in said:
        return line
    own = {key: value for key, value in said.items() if key not in _ADDED}
    return json.dumps(own, ensure_ascii=False)
