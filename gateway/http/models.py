"""`GET /v1/models` and one of them: agents under the names clients know (protocol.md §11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.http.guard import Caller
from gateway.protocol.openai import HttpFault, target_of
from gateway.rpc.desk import Desk

PATH = "/v1/models"


@dataclass(frozen=True, slots=True)
class Models:
    """What may stand in ``model``."""

    desk: Desk

    async def listing(self, _: Request, _caller: Caller) -> Response:
        """All of them, under both names."""
        agents = [str(agent["id"]) for agent in self.desk.core.agents()["agents"]]
        names = ["default", *agents]
        ids = [f"{family}{name}" for family in ("openclaw", "engine") for name in _ways(names)]
        return JSONResponse({"object": "list", "data": [_model(ident) for ident in ids]})

    async def one(self, request: Request, _: Caller) -> Response:
        """One of them: 400 for what is no name, 404 for an agent that is not there."""
        ident = unquote(str(request.scope["path"]).removeprefix(f"{PATH}/"))
        agent = target_of(ident)
        known = {str(one["id"]) for one in self.desk.core.agents()["agents"]}
        if agent is not None and agent not in known:
            words = f"model {ident!r} does not exist; agents: {', '.join(sorted(known))}"
            raise HttpFault(404, words, code="model_not_found", param="model")
        return JSONResponse(_model(ident))


def _ways(names: list[str]) -> list[str]:
    return ["", *(f"/{name}" for name in dict.fromkeys(names))]


def _model(ident: str) -> dict[str, Any]:
    family = "openclaw" if ident.lower().startswith("openclaw") else "engine"
    return {"id": ident, "object": "model", "created": 0, "owned_by": family, "permission": []}
