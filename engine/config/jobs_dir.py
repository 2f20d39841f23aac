"""`cron.jobsDir`: one job per file, read as if it stood in the config (cron.md §13).

The file's stem is the key. The files become members of `cron.jobs` before anything is judged,
so that every message names the file and line a job stands in.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.config.compose import Composer
from engine.config.json5 import Member, Node

SUFFIXES: Final = (".json5", ".json")


def with_jobs(root: Node, composer: Composer) -> tuple[Node, frozenset[str]]:
    """Return the tree with the directory's jobs in it, and the names of their files."""
    cron = root.member("cron")
    wish = None if cron is None else cron.node.member("jobsDir")
    if cron is None or wish is None or not isinstance(wish.node.value, str):
        return root, frozenset()
    folder = composer.root / Path(wish.node.value).expanduser()
    if not folder.is_dir():
        message = f'no such directory: "{wish.node.value}" (looked for {folder})'
        composer.refuse("cron.jobsDir", message, "unreadable", wish.node.place)
        return root, frozenset()
    composer.files.append(folder)  # a new file in it is a change of the config
    given = cron.node.member("jobs")
    members = list(given.node.members) if given is not None else []
    where = {member.key: member.source.name for member in members}
    files = set()
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        files.add(composer.name(path))
        document = composer.document(path)
        if document is None:
            continue
        key, node = path.stem, document.root
        if key in where:
            message = f'the job "{key}" stands in {where[key]} too: keep one of them'
            composer.refuse(f"cron.jobs.{key}", message, "duplicate", node.place)
            continue
        where[key] = node.source.name
        members.append(Member(key=key, start=node.start, source=node.source, node=node))
    return _replaced(root, cron, _jobs(given, wish, tuple(members))), frozenset(files)


def _jobs(given: Member | None, wish: Member, members: tuple[Member, ...]) -> Member:
    if given is not None:
        return replace(given, node=replace(given.node, members=members))
    node = Node(
        kind="object", source=wish.source, start=wish.start, end=wish.node.end, members=members
    )
    return Member(key="jobs", start=wish.start, source=wish.source, node=node)


def _replaced(root: Node, cron: Member, jobs: Member) -> Node:
    kept = tuple(member for member in cron.node.members if member.key != "jobs")
    whole = replace(cron, node=replace(cron.node, members=(*kept, jobs)))
    others = tuple(member for member in root.members if member.key != "cron")
    return replace(root, members=(*others, whole))
