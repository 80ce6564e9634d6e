"""An audience hears of shifts and days what its own chain makes, and nothing of what it was not granted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from agent.buffer.store import Store
from agent.config.model import AudienceSection, Configuration
from agent.digest.additive import disagreements
from agent.digest.report import Digest, decode
from tests.integration.digest.test_rolling import DAY, HOUR, SUNDAY, after, machine, plant, service
from tests.support.digest_service import record

ALONE = plant(None, machine("a", "08:00-16:00"), machine("b", "16:00-24:00"), period=4 * 3600.0)
OWNER = AudienceSection(
    name="owner", url="platform", equipment=("a",), sections=("coverage", "equipment", "indicators")
)


def told(config: Configuration, *audiences: AudienceSection) -> Configuration:
    return replace(config, file=msgspec.structs.replace(config.file, audience=audiences))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


async def chain(store: Store, audience: str) -> list[Digest]:
    return [decode(each.body) for each in reversed(await store.stream_of(audience).digests(999))]


async def test_an_audience_has_its_own_shifts_and_days_made_of_its_own_chain(store: Store) -> None:
    await record(store, SUNDAY, 60, ALONE)
    await service(store, after(SUNDAY + 4 * HOUR), ALONE).build_due()
    config = told(ALONE, OWNER)
    await service(store, after(SUNDAY + 4 * HOUR), config).build_due()  # hears of it from here on
    await record(store, SUNDAY + 8 * HOUR, 300, config)
    await record(store, SUNDAY + DAY + 9 * HOUR, 600, config)
    await service(store, after(SUNDAY + 2 * DAY), config).build_due()
    own, others = await chain(store, ""), await chain(store, "owner")
    assert [each.kind for each in own if each.kind != "period"] == [
        "shift", "shift", "day", "week", "month", "shift", "shift", "day",
    ]  # fmt: skip
    # The shift of the other machine is none of its business, nor is a day told of which it heard a part of only.
    spans = [each for each in others if each.kind != "period"]
    assert [each.kind for each in spans] == ["shift", "shift", "day"]
    for each in spans:
        assert each.header.audience == "owner" and each.parts is not UNSET
        assert each.equipment is not UNSET and [line.name for line in each.equipment] == ["a"]
        assert each.tags is UNSET and each.ledger is UNSET and each.findings is UNSET
        start, end = each.header.period.start, each.header.period.end
        parts = [
            part
            for part in others
            if part.kind == "period"
            and each.parts.first_seq <= part.header.seq <= each.parts.last_seq
            and start <= part.header.period.start < end
        ]
        assert disagreements(each, parts) == []
    assert [each.header.seq for each in others] == list(range(1, len(others) + 1))
    day = spans[-1]
    assert day.parts is not UNSET and day.parts.count == 6
    assert day.coverage is not UNSET and day.coverage.total.good == 600


async def test_nothing_is_told_twice_to_an_audience(store: Store) -> None:
    config = told(ALONE, OWNER)
    await service(store, after(SUNDAY - HOUR), config).build_due()
    await record(store, SUNDAY, 60, config)
    for later in (0, 30, 7200):
        await service(store, after(SUNDAY + DAY) + later, config).build_due()
    found = [(each.kind, each.header.period) for each in await chain(store, "owner")]
    assert len(found) == len({(kind, span.start, span.end) for kind, span in found})
    assert [kind for kind, _ in found].count("day") == 1
