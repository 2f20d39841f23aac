"""The file as it is kept: who may write it, what is kept beside it, and what comes back.

`guard` (the stamp of a newer engine), `through` (which file an edit belongs to), `copies` (what
lies beside the file), `lastgood` (the config that worked last), `legacy` (keys of older files).
"""

from __future__ import annotations
