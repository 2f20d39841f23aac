"""`POST /tools/invoke`: one tool of an agent, used by hand (protocol.md §11)."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.http.guard import Caller, Guard, json_body
from gateway.http.pages import Page
from gateway.protocol.methods import Scope
from gateway.protocol.openai import InvokeRequest, parsed
from gateway.rpc.desk import Desk
from gateway.rpc.tools import OWNERS

PATH: Final = "/tools/invoke"
MOST_BYTES: Final = 2 * 1024 * 1024
# Never over HTTP, whoever asks: what changes the machine, the schedule or other sessions.
DENIED: Final = OWNERS | frozenset(
    {
        "spawn", "shell", "fs_write", "fs_delete", "fs_move", "apply_patch", "edit",
        "sessions_spawn", "sessions_send", "gateway", "nodes", "whatsapp_login",
    }
)  # fmt: skip


class Tools:
    """A room of one page."""

    def __init__(self, desk: Desk, guard: Guard) -> None:
        self._desk = desk
        self._guard = guard
        self._page = guard.page(self.answer, method="POST", scope=Scope.WRITE)

    def page(self, path: str) -> Page | None:
        """The page, at its path only."""
        return self._page if path == PATH else None

    async def answer(self, request: Request, _: Caller) -> Response:
        """Use it, or say why not."""
        self._guard.refuse_unready()
        asked = parsed(InvokeRequest, await json_body(request, MOST_BYTES))
        name = asked.tool.strip()
        agent_id, key = self._desk.core.sessions.resolve(None, asked.sessionKey)
        known = {str(one["name"]) for one in self._desk.core.tools.catalog(agent_id)}
        if name in DENIED or name not in known:
            return _failed(404, "not_found", f"Tool not available: {name[:80]}")
        if asked.dryRun:
            return JSONResponse({"ok": True, "result": {"dryRun": True, "tool": name}})
        arguments: dict[str, Any] = dict(asked.args)
        if asked.action is not None:
            arguments.setdefault("action", asked.action)
        done = await self._desk.core.tools.invoke(
            name, arguments, agent_id=agent_id, session_key=key, by="http"
        )
        if not done.get("ok"):
            return _failed(400, "tool_error", str(done["error"]["message"]))
        return JSONResponse({"ok": True, "result": done.get("output")})


def _failed(status: int, kind: str, message: str) -> Response:
    error = {"type": kind, "message": message}
    return JSONResponse({"ok": False, "error": error}, status_code=status)
