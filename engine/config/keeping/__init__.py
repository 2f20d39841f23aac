"""The file as it is kept: who may write it, which of its files an edit belongs to, what is kept.

`guard` (the stamp of a newer engine), `through` (which file an edit belongs to), `copies` (what
lies beside the file), `outcome` (what became of a change, in words), `records` (what is put on
record), `legacy` (keys of older files).
"""

from __future__ import annotations
