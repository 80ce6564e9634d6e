"""What the Modbus tests have in common: a server, and a check that nothing is logged."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from scripts.sandbox.modbus_net import NetServer
from tests.support.modbus_devices import Bank
from tests.support.ports import free_port


@pytest.fixture
def bank() -> Bank:
    """Unit 1 of ``server``."""
    return Bank()


@pytest.fixture
async def server(bank: Bank) -> AsyncIterator[NetServer]:
    """A Modbus TCP server with one unit."""
    async with NetServer("127.0.0.1", free_port(), {1: bank}) as made:
        yield made


@pytest.fixture
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, the driver returns it; a log line for each would be a flood (L15)."""
    with caplog.at_level(logging.INFO):
        yield
    ours = [record for record in caplog.records if record.name.split(".")[0] in ("drivers", "pymodbus", "asyncio")]
    assert [record.getMessage() for record in ours] == []
