"""What agents may do on this host, what other packages bring, and what is kept of it in logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.security.facts import Facts
from engine.security.findings import Finding, SetKey, Severity

_EXACT: Final = re.compile(r".+@\d+\.\d+\.\d+(?:[-+][\w.]+)?|.+==[\w.]+")
_SOURCES: Final = ("/etc", "/proc", "/sys", "/dev", "/root", "/boot", "/run", "/var/run")


def policy(facts: Facts) -> Iterator[Finding]:
    """`tools.exec.security_full_configured`, `tools.profile_minimal_overridden`."""
    full = ["tools.exec.security"] if facts.text("tools.exec.security") == "full" else []
    full += [f"{path}.tools.exec.security" for path, one in facts.agents() if _full(one)]
    if full:
        yield Finding(
            check_id="tools.exec.security_full_configured",
            severity=Severity.WARN,
            title="agents may run any command on this host",
            detail=f"{', '.join(full)} is full",
            remediation="engine config set tools.exec.security allowlist",
        )
    if facts.text("tools.profile") == "minimal":
        wider = [f"{path}.tools.profile" for path, one in facts.agents() if _profile(one)]
        if wider:
            yield Finding(
                check_id="tools.profile_minimal_overridden",
                severity=Severity.WARN,
                title="agents have more tools than the profile for all of them",
                detail=f"tools.profile is minimal; {', '.join(wider)} says otherwise",
                remediation=f"engine config unset {wider[0]}",
            )


def _full(agent: Mapping[str, Any]) -> bool:
    return _inner(agent, "tools", "exec").get("security") == "full"


def _profile(agent: Mapping[str, Any]) -> bool:
    return _inner(agent, "tools").get("profile") not in (None, "minimal")


def _inner(value: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def plugins(facts: Facts) -> Iterator[Finding]:
    """`plugins.extensions_no_allowlist`, `plugins.tools_reachable_permissive_policy`."""
    if not facts.plugins or not facts.on("plugins.enabled", default=True):
        return
    names = ", ".join(facts.plugins)
    if not facts.texts("plugins.allow"):
        yield Finding(
            check_id="plugins.extensions_no_allowlist",
            severity=Severity.WARN,
            title="whatever package is installed is loaded",
            detail=f"{names} from other packages; plugins.allow names none",
            remediation="write the names you use into plugins.allow",
            fixes=(SetKey(path="plugins.allow", value=list(facts.plugins)),),
        )
    if facts.text("tools.profile") in ("", "full") and not facts.texts("tools.allow"):
        yield Finding(
            check_id="plugins.tools_reachable_permissive_policy",
            severity=Severity.WARN,
            title="every agent may use what other packages bring",
            detail=f"{names}: no tools.profile and no tools.allow limits them",
            remediation="engine config set tools.profile coding",
        )


def installs(facts: Facts) -> Iterator[Finding]:
    """`plugins.installs_unpinned`, `_missing_integrity`, `_version_drift` (reference installs)."""
    listed = facts.get("plugins.installs", {})
    found: dict[str, list[str]] = {}
    for name, one in listed.items() if isinstance(listed, Mapping) else ():
        if not isinstance(one, Mapping):
            continue
        spec, wanted = str(one.get("spec") or ""), one.get("resolvedVersion")
        if spec and not _EXACT.fullmatch(spec):
            found.setdefault("unpinned", []).append(str(name))
        if spec and not one.get("integrity"):
            found.setdefault("missing_integrity", []).append(str(name))
        if wanted and one.get("version") and one["version"] != wanted:
            found.setdefault("version_drift", []).append(str(name))
    for word, names in found.items():
        yield Finding(
            check_id=f"plugins.installs_{word}",
            severity=Severity.WARN,
            title=_INSTALLS[word],
            detail=f"plugins.installs: {', '.join(names)}",
            remediation="install an exact version, such as name@1.2.3, and record its hash",
        )


_INSTALLS: Final = {
    "unpinned": "a plugin's next version is taken as it comes",
    "missing_integrity": "nobody would notice that a plugin's file was exchanged",
    "version_drift": "a plugin is not the version that was installed",
}


def sandbox(facts: Facts) -> Iterator[Finding]:
    """`sandbox.*`: a sandbox that is configured and off, or has a hole."""
    places = [("agents.defaults", _inner(facts.get("agents.defaults", {}), "sandbox"))]
    places += [(path, _inner(one, "sandbox")) for path, one in facts.agents()]
    for path, section in places:
        docker = _inner(section, "docker")
        if not docker:
            continue
        if section.get("mode") in (None, "off"):
            yield Finding(
                check_id="sandbox.docker_config_mode_off",
                severity=Severity.WARN,
                title="a sandbox is described and not used",
                detail=f"{path}.sandbox.docker is set, {path}.sandbox.mode is off",
                remediation=f"engine config unset {path}.sandbox.docker",
            )
        holes = [str(one) for one in docker.get("binds") or () if _hole(str(one))]
        if holes:
            yield Finding(
                check_id="sandbox.dangerous_bind_mount",
                severity=Severity.CRITICAL,
                title="the sandbox holds a way out of it",
                detail=f"{path}.sandbox.docker.binds: {', '.join(holes)}",
                remediation=f"engine config unset {path}.sandbox.docker.binds",
            )
        network = str(docker.get("network") or "").strip().lower()
        if network == "host" or network.startswith("container:"):
            yield Finding(
                check_id="sandbox.dangerous_network_mode",
                severity=Severity.CRITICAL,
                title="the sandbox shares somebody's network",
                detail=f"{path}.sandbox.docker.network is {network}",
                remediation=f"engine config set {path}.sandbox.docker.network none",
            )


def _hole(bind: str) -> bool:
    """Whether a mount lets the sandbox reach what it is kept from (operations.md §13.3)."""
    source = bind.partition(":")[0].rstrip("/") or "/"
    within = any(source == one or source.startswith(f"{one}/") for one in _SOURCES)
    return source == "/" or within or source.endswith("docker.sock")


def logs(facts: Facts) -> Iterator[Finding]:
    """`logging.redact_off`."""
    if facts.text("logging.redactSensitive") == "off":
        yield Finding(
            check_id="logging.redact_off",
            severity=Severity.WARN,
            title="logs show what looks like a secret",
            detail="logging.redactSensitive is off",
            remediation="engine config set logging.redactSensitive tools",
            fixes=(SetKey(path="logging.redactSensitive", value="tools"),),
        )


CHECKS: Final = (policy, plugins, installs, sandbox, logs)
