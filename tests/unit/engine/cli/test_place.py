from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.cli.place import Place, place
from gateway.lock import Lock, Owner
from jobs.errors import UsageError


def at(home: Path, config: str = "", **environ: str) -> Place:
    state = home / ".engine"
    state.mkdir(exist_ok=True)
    if config:
        (state / "engine.json").write_text(config)
    return place(environ={"HOME": str(home), **environ})


def owner(port: int | None, host: str = "127.0.0.1") -> Owner:
    return Owner(pid=os.getpid(), started_at_ms=1, boot_id="b", version="1", host=host, port=port)


def test_the_address_is_looked_up_in_the_order_of_the_contract(tmp_path: Path) -> None:
    here = at(tmp_path, "{ gateway: { port: 20003 } }")
    assert here.address().url == "ws://127.0.0.1:20003"
    with Lock(tmp_path / ".engine", owner(20002)):
        assert at(tmp_path).address().url == "ws://127.0.0.1:20002"
        assert at(tmp_path).address(port=20001).url == "ws://127.0.0.1:20001"
        env = at(tmp_path, ENGINE_GATEWAY_URL="ws://127.0.0.1:20000")
        assert env.address(port=20001).url == "ws://127.0.0.1:20000"
        assert env.address(url="ws://else:1", port=20001).url == "ws://else:1"


def test_a_gateway_on_every_interface_is_called_on_loopback(tmp_path: Path) -> None:
    with Lock(tmp_path, owner(20002, "0.0.0.0")):  # noqa: S104 - a value in a file
        here = place(environ={"HOME": str(tmp_path), "ENGINE_STATE_DIR": str(tmp_path)})
        assert here.address().url == "ws://127.0.0.1:20002"


def test_a_gateway_that_has_no_port_yet_is_looked_for_where_the_config_says(
    tmp_path: Path,
) -> None:
    here = at(tmp_path, "{ gateway: { port: 20003 } }")
    with Lock(tmp_path / ".engine", owner(None)):
        assert here.address().source == "config"


def test_the_token_file_is_found_without_flag_or_environment(tmp_path: Path) -> None:
    here = at(tmp_path)
    here.paths.token_file.write_text("found\n")
    sent = here.credentials(here.address())
    assert (sent.token, sent.source) == ("found", "file")


def test_an_address_given_by_hand_gets_nothing_by_itself(tmp_path: Path) -> None:
    here = at(tmp_path, ENGINE_GATEWAY_TOKEN="secret")
    assert here.credentials(here.address(url="ws://elsewhere:1")).token is None


def test_a_stranger_named_by_the_environment_never_gets_the_token_of_the_config(
    tmp_path: Path,
) -> None:
    config = "{ gateway: { auth: { token: 'local' } } }"
    here = at(tmp_path, config, ENGINE_GATEWAY_URL="ws://elsewhere:1")
    assert here.credentials(here.address()).token is None
    near = at(tmp_path, config, ENGINE_GATEWAY_URL="ws://127.0.0.1:1")
    assert near.credentials(near.address()).token == "local"


def test_a_stale_token_of_the_shell_has_a_spare_on_loopback_only(tmp_path: Path) -> None:
    config = "{ gateway: { auth: { token: 'fresh' } } }"
    here = at(tmp_path, config, ENGINE_GATEWAY_TOKEN="stale")
    sent = here.credentials(here.address())
    assert sent.token == "stale"
    assert sent.spare is not None
    assert sent.spare.token == "fresh"
    far = at(tmp_path, config, ENGINE_GATEWAY_TOKEN="stale", ENGINE_GATEWAY_URL="ws://far:1")
    assert far.credentials(far.address()).spare is None


@pytest.mark.parametrize("marker", ["__ENGINE_REDACTED__", "__OPENCLAW_REDACTED__", "***"])
def test_what_a_hidden_secret_prints_as_is_refused_as_a_credential(
    tmp_path: Path, marker: str
) -> None:
    here = at(tmp_path)
    with pytest.raises(UsageError, match="hidden secret"):
        here.credentials(here.address(), token=marker)


def test_a_printed_credential_shows_nothing(tmp_path: Path) -> None:
    here = at(tmp_path)
    assert "hush" not in repr(here.credentials(here.address(), token="hush"))


def test_a_reference_in_the_config_is_filled_from_the_operators_env_file(tmp_path: Path) -> None:
    here = at(tmp_path, "{ gateway: { auth: { token: '${GATE}' } } }")
    here.paths.env_file.write_text("GATE=from-file\n")
    assert here.credentials(here.address()).token == "from-file"
