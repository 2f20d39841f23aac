"""The `/v1/` endpoints: which are open, and who answers them (protocol.md §11)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from engine.config.schema.gateway import Endpoints
from gateway.http.completions import MOST_BYTES, Completions
from gateway.http.guard import Caller, Guard, json_body, said
from gateway.http.models import PATH as MODELS, Models
from gateway.http.pages import Page
from gateway.http.responses import Responses
from gateway.protocol.methods import Scope
from gateway.protocol.openai import EmbeddingsRequest, HttpFault, parsed
from gateway.rpc.desk import Desk


class OpenAi:
    """A room of pages; the config says per request which of them are open."""

    def __init__(self, desk: Desk, guard: Guard, endpoints: Callable[[], Endpoints]) -> None:
        self._endpoints = endpoints
        models = Models(desk)
        self._models = guard.page(models.listing, method="GET", scope=Scope.READ)
        self._model = guard.page(models.one, method="GET", scope=Scope.READ)
        self._chat = guard.page(Completions(desk, guard).answer, method="POST", scope=Scope.WRITE)
        self._responses = guard.page(
            Responses(desk, guard).answer, method="POST", scope=Scope.WRITE
        )
        self._embeddings = guard.page(_embeddings, method="POST", scope=Scope.WRITE)
        self._off = guard.page(_off, method="POST", scope=Scope.READ)

    def page(self, path: str) -> Page | None:
        """The page behind a path; one that is switched off is not there."""
        if not path.startswith("/v1/"):
            return None
        open_ = self._endpoints()
        match path:
            case "/v1/models":
                return self._models
            case "/v1/chat/completions" if open_.chat_completions.enabled:
                return self._chat
            case "/v1/responses" if open_.responses.enabled:
                return self._responses
            case "/v1/embeddings" if open_.chat_completions.enabled:
                return self._embeddings
            case "/v1/chat/completions" | "/v1/responses" | "/v1/embeddings":
                return self._off
            case _ if path.startswith(f"{MODELS}/"):
                return self._model
            case _:
                return _unknown


_SWITCHES = {
    "/v1/chat/completions": "chatCompletions",
    "/v1/embeddings": "chatCompletions",
    "/v1/responses": "responses",
}


async def _embeddings(request: Request, _: Caller) -> Response:
    """Agents answer turns; a model of vectors is nobody's here, and that is said."""
    asked = parsed(EmbeddingsRequest, await json_body(request, MOST_BYTES))
    words = f"{asked.model[:80]} makes no embeddings: this gateway serves agents, not models"
    raise HttpFault(404, words, code="model_not_found", param="model")


async def _off(request: Request, _: Caller) -> Response:
    path = request.scope["path"]
    switch = f"gateway.http.endpoints.{_SWITCHES[path]}.enabled"
    words = f"{path} is switched off: engine config set {switch} true"
    raise HttpFault(404, words, "not_found", code="endpoint_disabled")


async def _unknown(request: Request) -> Response:
    path = str(request.scope["path"])[:200]
    return said(HttpFault(404, f"there is no {path}", "not_found", code="unknown_url"))
