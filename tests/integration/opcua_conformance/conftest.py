"""What every test of OPC UA uses: one nursery of servers a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.opcua_servers import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Servers in processes of their own."""
    made = Nursery()
    yield made
    made.close()
