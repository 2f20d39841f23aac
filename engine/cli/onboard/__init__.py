"""`engine onboard`: from nothing to the first message, by questions or by flags.

Asked and judged first (`questions`, `wishes`, `tries`), written then (`files`), proved last
(`proof`): whoever stops before the writing has changed nothing.
"""

from __future__ import annotations
