"""Files of the home, and what stands behind providers of secrets: who may read and write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.security.facts import Facts, FileFact, Kept
from engine.security.findings import Chmod, Finding, Severity

_WRITE: Final = 0o022
_WORLD_WRITE: Final = 0o002
_WORLD_READ: Final = 0o004
_GROUP_READ: Final = 0o040
_ANY: Final = 0o077
_SYNCED: Final = (
    "icloud drive", "mobile documents", "dropbox", "onedrive", "google drive", "googledrive",
    "nextcloud", "owncloud", "syncthing", "creative cloud files",
)  # fmt: skip
_NAMES: Final = {
    Kept.STATE_DIR: "the state directory",
    Kept.CONFIG: "the config file",
    Kept.INCLUDE: "an included config file",
    Kept.ENV_FILE: "the .env file",
    Kept.DB: "the state database",
    Kept.LOG_FILE: "a log file",
    Kept.BACKUP: "a backup of the config",
    Kept.CREDENTIAL: "a credential of the gateway",
}


def _found(
    file: FileFact, word: str, severity: Severity, detail: str, *, fix: bool = True
) -> Finding:
    mode = 0o700 if file.what is Kept.STATE_DIR else 0o600
    mend = Chmod(path=file.path, mode=mode)
    return Finding(
        check_id=f"fs.{file.what}.{word}",
        severity=severity,
        title=f"{_NAMES[file.what]} {detail}",
        detail=f"{file.path} has mode {file.mode & 0o777:o}",
        remediation=mend.words if fix else f"put a real file where {file.path} points from",
        path=file.path,
        fixes=(mend,) if fix else (),
    )


def folder(facts: Facts) -> Iterator[Finding]:
    """`fs.state_dir.*`."""
    for file in facts.files:
        if file.what is not Kept.STATE_DIR:
            continue
        if file.symlink:
            yield _symlink(file)
        if file.mode & _WORLD_WRITE:
            yield _found(
                file, "perms_world_writable", Severity.CRITICAL, "can be written by anyone"
            )
        elif file.mode & _WRITE:
            yield _found(file, "perms_group_writable", Severity.WARN, "can be written by its group")
        elif file.mode & _ANY:
            yield _found(file, "perms_readable", Severity.WARN, "can be read by others")


def kept(facts: Facts) -> Iterator[Finding]:
    """`fs.config.*` and the same for every other file that holds secrets or words."""
    for file in facts.files:
        if file.what is Kept.STATE_DIR:
            continue
        if file.symlink and file.what is not Kept.LOG_FILE:
            yield _symlink(file)
        if file.what is Kept.LOG_FILE:
            if file.mode & _ANY:
                yield _found(file, "perms_readable", Severity.WARN, "can be read by others")
        elif file.mode & _WRITE:
            yield _found(file, "perms_writable", Severity.CRITICAL, "can be written by others")
        elif file.mode & _WORLD_READ:
            yield _found(file, "perms_world_readable", Severity.CRITICAL, "can be read by anyone")
        elif file.mode & _GROUP_READ:
            yield _found(file, "perms_group_readable", Severity.WARN, "can be read by its group")


def _symlink(file: FileFact) -> Finding:
    return _found(
        file,
        "symlink",
        Severity.WARN,
        "is a symlink: whoever owns its target decides what it is",
        fix=False,
    )


def synced(facts: Facts) -> Iterator[Finding]:
    """`fs.synced_dir`: a folder that is copied to other machines."""
    low = facts.state.lower()
    if word := next((word for word in _SYNCED if word in low), None):
        yield Finding(
            check_id="fs.synced_dir",
            severity=Severity.WARN,
            title="the state directory is copied to other machines",
            detail=f"{facts.state} lies below {word!r}: tokens and the database leave this host,"
            " and a copied database breaks",
            remediation="set ENGINE_STATE_DIR to a folder that is not synced",
            path=facts.state,
        )


def providers(facts: Facts) -> Iterator[Finding]:
    """`secrets.exec_provider_writable`, `secrets.file_provider_perms`."""
    for one in facts.providers:
        program = one.source == "exec"
        open_to = one.mode & (_WRITE if program else _ANY)
        if not (open_to or one.foreign or (program and one.folder_open)):
            continue
        why = "belongs to somebody else" if one.foreign else f"has mode {one.mode & 0o777:o}"
        if not open_to and not one.foreign:
            why = "lies in a folder others may write"
        mode = 0o700 if program else 0o600
        mend = (Chmod(path=one.path, mode=mode),) if open_to and not one.foreign else ()
        yield Finding(
            check_id="secrets.exec_provider_writable" if program else "secrets.file_provider_perms",
            severity=Severity.CRITICAL,
            title="others may change or read what secrets come from",
            detail=f"secrets.providers.{one.alias}: {one.path} {why}",
            remediation=f"chmod {mode:o} {one.path}",
            path=one.path,
            fixes=mend,
        )


CHECKS: Final = (folder, kept, synced, providers)
