"""Turns a model ref into an agent: `provider/model`, a backend's id, or `offline`.

Takes values, not the config. Agents are built once and kept: their connections, imported
libraries and used-up script entries live as long as the factory. A new config means a new
factory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from engine.agents.base import (
    Agent,
    AgentFailure,
    FailureClass,
    Sleep,
    TurnReply,
    TurnRequest,
    watched,
)
from engine.agents.cli_sessions import Talks
from engine.agents.command import CommandAgent, CommandBackend
from engine.agents.model import ModelAgent
from engine.agents.offline import OfflineAgent, ScriptEntry
from engine.agents.provider import Candidate, Provider
from engine.config import models

OFFLINE: Final = "offline"


class AgentFactory:
    """Builds and keeps the agents of one config."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        backends: Mapping[str, CommandBackend],
        script: Sequence[ScriptEntry] = (),
        aliases: Mapping[str, str] | None = None,  # short names of refs
        sleep: Sleep,
    ) -> None:
        self._aliases = aliases or {}
        self._providers = providers
        self._backends = backends
        self._sleep = sleep
        self._offline = OfflineAgent(script, sleep=sleep)
        self._locks = {name: asyncio.Lock() for name in backends}
        self._talks = {name: Talks() for name in backends}
        self._built: dict[tuple[str, ...], Agent] = {}
        self._models: list[ModelAgent] = []

    def build(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Agent:
        """Return the agent for a ref and its fallbacks, in that order.

        No ref is `offline`. Raises `AgentFailure` (model_not_found) for a ref that names
        nothing: a run error, never a silent fallback (cron.md §1.1).
        """
        refs = (ref or OFFLINE, *fallbacks)
        if refs not in self._built:
            self._built[refs] = self._make(refs)
        return self._built[refs]

    def servers(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Sequence[str | None]:
        """Return the base URL behind each ref, None where no server of ours is needed.

        Nothing for a ref that names nothing: the turn itself says what is wrong with it.
        """
        try:
            parts = [self._part(one) for one in (ref or OFFLINE, *fallbacks)]
        except AgentFailure:
            return ()
        return [part.provider.base_url if isinstance(part, Candidate) else None for part in parts]

    async def close(self) -> None:
        """Close the agents' connections."""
        models, self._models = self._models, []
        for model in models:
            await model.close()

    def _make(self, refs: tuple[str, ...]) -> Agent:
        parts = [self._part(ref) for ref in refs]
        candidates = [part for part in parts if isinstance(part, Candidate)]
        if len(candidates) == len(parts):
            return self._model(candidates)
        agents = [self._model([one]) if isinstance(one, Candidate) else one for one in parts]
        return agents[0] if len(agents) == 1 else FallbackAgent(refs, agents)

    def _model(self, candidates: Sequence[Candidate]) -> ModelAgent:
        agent = ModelAgent(candidates, sleep=self._sleep)
        self._models.append(agent)
        return agent

    def _part(self, ref: str) -> Agent | Candidate:
        ref = ref.strip()
        name, _, model = self._aliases.get(ref, ref).partition("/")
        # The built-in answers unless the operator gave the name to a real server.
        if name == OFFLINE and not model:
            return self._offline
        if backend := self._backends.get(name):
            return CommandAgent(
                backend, model=model or None, lock=self._locks[name], talks=self._talks[name]
            )
        if provider := self._providers.get(name):
            if model:
                return Candidate(provider=provider.serving(model), model=model)
            raise _unknown(ref, "it names a provider and no model", f"write {name}/<model>")
        known = ", ".join(sorted({*self._providers, *self._backends, OFFLINE}))
        raise _unknown(
            ref,
            f"neither models.providers nor agents.defaults.cliBackends has {name!r} "
            f"(there are: {known})",
            models.remedy(f"{name}/{model}"),
        )


class FallbackAgent:
    """Asks agents of different kinds in order; the first that answers wins.

    Once a tool with side effects has run it stops: another agent would start the turn again
    and repeat them.
    """

    def __init__(self, refs: Sequence[str], agents: Sequence[Agent]) -> None:
        self._agents = tuple(zip(refs, agents, strict=True))

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Answer, or raise the last failure with all attempts listed."""
        attempts: list[Mapping[str, Any]] = []
        touched: list[str] = []
        seen = replace(request, tools=[watched(tool, touched) for tool in request.tools])
        failure: AgentFailure | None = None
        for ref, agent in self._agents:
            try:
                reply = await agent.answer(seen)
            except AgentFailure as one:
                failure = one
                attempts += one.attempts or (
                    {"model": ref, "class": str(one.failure), "message": one.message},
                )
                if touched:
                    break
            else:
                return replace(reply, attempts=(*attempts, *reply.attempts))
        if failure is None:
            raise AssertionError("no agent was asked")
        failure.attempts = tuple(attempts)
        raise failure


def _unknown(ref: str, why: str, fix: str) -> AgentFailure:
    return AgentFailure(
        FailureClass.MODEL_NOT_FOUND, f"model {ref!r} cannot be used: {why}. Fix: {fix}"
    )
