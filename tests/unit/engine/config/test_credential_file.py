"""A bot whose credential file is gone is told when the config is read, not when it is in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config.load import Loaded, load
from jobs.errors import ConfigInvalid


def loaded(tmp_path: Path, **channels: Any) -> Loaded:
    raw = json.dumps({"channels": channels}).encode()
    return load(tmp_path / "engine.json", {}, home=tmp_path, raw=raw, credentials=True)


def qq(file: Path, **more: Any) -> dict[str, Any]:
    return {"accounts": {"second": {"appId": "1", "clientSecretFile": str(file), **more}}}


def test_a_file_that_is_gone_is_refused_at_the_key_of_its_account(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        loaded(tmp_path, qqbot=qq(tmp_path / "gone"))
    issues = refusal.value.detail["issues"]
    assert isinstance(issues, list)
    issue = issues[0]
    assert issue["path"] == "channels.qqbot.accounts.second.clientSecretFile"
    assert "cannot be read: No such file" in issue["message"]
    with pytest.raises(ConfigInvalid, match="tokenFile"):
        loaded(tmp_path, telegram={"tokenFile": str(tmp_path / "gone")})


def test_a_file_of_an_account_that_is_off_may_be_gone(tmp_path: Path) -> None:
    loaded(tmp_path, qqbot=qq(tmp_path / "gone", enabled=False))
    loaded(tmp_path, qqbot={"enabled": False, **qq(tmp_path / "gone")})


def test_an_empty_file_holds_no_credential(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigInvalid, match="it is empty"):
        loaded(tmp_path, qqbot=qq(tmp_path / "empty"))
    (tmp_path / "full").write_text("secret\n")
    loaded(tmp_path, qqbot=qq(tmp_path / "full"))
