"""`engine dashboard`: a link that lets one browser in."""

from __future__ import annotations

import json

import pytest

from engine.cli.dashboard import page_url
from jobs.errors import NotFound
from tests.fakes.gateway_port import TOKEN, Port
from tests.unit.engine.cli.conftest import Engine


def test_the_link_is_all_that_is_printed_and_its_code_works_once(
    engine: Engine, gateway: Port
) -> None:
    told = engine("dashboard", "--no-open")
    assert told.status == 0
    link = told.out.strip()
    address, _, code = link.partition("/#token=")
    assert address == gateway.site
    assert TOKEN not in told.out + told.err
    assert "it is good once, until" in told.err
    visits, now = gateway.desk.visits, gateway.desk.clock.now()
    assert visits.redeem(code, now) == ("operator.read", "operator.write")
    assert visits.redeem(code, now) is None


def test_json_tells_the_link_and_until_when(engine: Engine, gateway: Port) -> None:
    told = json.loads(engine("dashboard", "--json").out)
    assert told["url"].startswith(f"{gateway.site}/#token=")
    assert told["once"] is True
    assert told["expiresAtMs"] > 0


def test_with_the_gateway_down_it_says_so(engine: Engine) -> None:
    assert engine("dashboard", "--no-open").status == 3


@pytest.mark.parametrize(
    ("gateway", "link"),
    [
        ("ws://127.0.0.1:18789", "http://127.0.0.1:18789/#token=x"),
        ("wss://engine.example/ws", "https://engine.example/#token=x"),
        ("ws://[::1]:1", "http://[::1]:1/#token=x"),
    ],
)
def test_the_page_stands_beside_the_socket(gateway: str, link: str) -> None:
    assert page_url(gateway, "/#token=x") == link


def test_an_address_that_is_no_socket_has_no_page() -> None:
    with pytest.raises(NotFound):
        page_url("unix:/run/engine.sock", "/#token=x")
