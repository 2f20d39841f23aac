"""Which role may call what (protocol.md §9): scopes are an operator's, nodes have a list."""

from __future__ import annotations

from typing import Final

# Calls of nodes; nobody else may make them.
NODE_METHODS: Final = frozenset(
    {
        "node.invoke.result",
        "node.invoke.progress",
        "node.event",
        "node.pending.pull",
        "node.pending.ack",
        "node.pending.drain",
        "node.pluginTools.update",
        "node.skills.update",
        "skills.bins",
    }
)
OPEN_TO_ALL: Final = frozenset({"health"})
MOST_UNAUTHORIZED: Final = 10  # answers in a row; whoever goes on is cut (§6)


def may_call(role: str, method: str) -> bool:
    """Whether a role may make a call at all, whatever its scopes."""
    if method in OPEN_TO_ALL:
        return True
    return (role == "node") == (method in NODE_METHODS)
