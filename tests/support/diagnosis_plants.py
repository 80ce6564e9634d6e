"""Plants for the diagnosis report: sums of made-up periods in a real store, as the digest service keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.buffer.database import Transaction
from agent.buffer.digests import insert_digest
from agent.buffer.records import DigestRecord, RollupRecord
from agent.buffer.rollups import insert_rollups
from agent.buffer.store import Store
from agent.config.model import (
    CalendarSection,
    Chain,
    Configuration,
    EnterpriseSection,
    EquipmentSection,
    Inventory,
    Seconds,
)
from agent.digest.equipment.states import STATES
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.times import Carry
from agent.digest.rollups import DeviceSums, Kept, Sums, day_of, records, with_period
from agent.digest.windows import SECOND, Period
from tests.support.digest_plants import configuration, device, tag

MINUTE = 60 * SECOND
QUARTER = 15 * MINUTE
HOUR = 60 * MINUTE
ZONE = ZoneInfo("Asia/Shanghai")

ENTERPRISE = EnterpriseSection(
    name="Example Press Works",
    credit_code="91350100M000100Y43",
    district="310109",
    town="Example Town",
    park="hongkou-01",
    chains=(Chain(name="auto-parts", owner="91350100M000100Y43", role="tier-2"),),
    operator="CT",
    uplink="5g",
    inventory=Inventory(production_equipment=4, digital=3),
)
WEEKDAYS = CalendarSection(days=("mon", "tue", "wed", "thu", "fri"), shifts=("08:00-16:00", "16:00-24:00"))


def at(text: str, zone: ZoneInfo = ZONE) -> int:
    """Local time as UTC microseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * SECOND


def plant(
    names: Sequence[str],
    *,
    calendar: CalendarSection | None = WEEKDAYS,
    timezone: str = "Asia/Shanghai",
    secret: Sequence[str] = (),
    enterprise: EnterpriseSection = ENTERPRISE,
    data_dir: str = "/nonexistent",
) -> Configuration:
    """A device and a machine of each name; nothing of the ``secret`` ones may leave the plant."""
    return configuration(
        [
            device(name, [tag(f"{name}.total", kind="counter", sensitivity=3 if name in secret else 1)])
            for name in names
        ],
        equipment=[
            EquipmentSection(name=name, produced=f"{name}.total", ideal_cycle=Seconds(4.0), calendar=calendar)
            for name in names
        ],
        enterprise=enterprise,
        period=900.0,
        timezone=timezone,
        data_dir=data_dir,
    )


def quarter(number: int, hour: int, weekday: int, *, length: int = QUARTER, calendar: bool = True) -> MachineSums:
    """A plausible period of machine ``number`` at that local hour: works in two shifts, stops more the higher its
    number, and stands by at night with a load that nobody needs."""
    working = weekday < 5 and 8 <= hour < 24
    share = {"executing": 0.8 - 0.05 * (number % 8), "setup": 0.05, "fault": 0.02 * (number % 5)}
    states = dict.fromkeys(STATES, 0)
    if working:
        states |= {name: round(part * length) for name, part in share.items()}
        states["standby"] = length - sum(states.values())
    else:
        states["standby" if number % 2 else "off"] = length
    hours = length / HOUR
    executing, standby = 12.0 + number, 3.0 + number / 2
    idle = standby * (states["standby"] + states["setup"] + states["fault"]) / HOUR
    used = executing * states["executing"] / HOUR
    pieces = round(states["executing"] / (4.4 * SECOND))
    return MachineSums(
        span_us=length,
        states=states,
        calendar=calendar,
        planned_us=length if working and calendar else 0,
        apt_us=states["executing"],
        aust_us=states["setup"],
        adet_us=states["standby"] + states["fault"] if working or not calendar else 0,
        adot_us=0 if calendar else states["off"],
        stops=3 if working else 0,
        stop_us=states["standby"] + states["fault"] if working else 0,
        micro_stops=2 if working else 0,
        micro_us=4 * MINUTE if working and length >= QUARTER else 0,
        longest_stop_us=6 * MINUTE if working else 0,
        failures=1 if states["fault"] else 0,
        repair_us=states["fault"],
        between_us=states["executing"] if states["fault"] else 0,
        produced=float(pieces),
        good=float(pieces - pieces // 50),
        ideal_us=4.0 * SECOND * pieces,
        energy_basis="counter",
        kwh=used + idle,
        idle_kwh=idle,
        joined_kwh=used + idle,
        metered_kwh=used + idle,
        energy_known_us=length,
        executing_kwh=used,
        executing_power_us=states["executing"],
        peak_kw=executing * 1.2,
        demand_kw=(used + idle) / hours,
    )


class Plant:
    """Fills a store with periods, their digests and the sums of their days."""

    def __init__(self, store: Store, made: Configuration) -> None:
        self.store = store
        self.configuration = made
        self.zone = ZoneInfo(made.file.gateway.timezone)
        self._seq = 0
        self._day: Sums | None = None
        self._previous = "0" * 64
        self._digests: list[DigestRecord] = []
        self._sums: dict[tuple[str, int], RollupRecord] = {}

    async def run(self, start: int, end: int, *, length: int = QUARTER, dark: Sequence[Period] = ()) -> None:
        """Periods from ``start`` to ``end``; in the ``dark`` ones nothing answered."""
        names = [each.name for each in self.configuration.file.equipment]
        calendar = any(each.calendar for each in self.configuration.file.equipment)
        for begin in range(start, end, length):
            local = datetime.fromtimestamp(begin // SECOND, self.zone)
            hidden = any(each.start <= begin < each.end for each in dark)
            machines = {
                name: quarter(number, local.hour, local.weekday(), length=length, calendar=calendar)
                for number, name in enumerate(names)
            }
            self._note(Period(begin, begin + length), _hidden(machines, length) if hidden else machines, hidden)
        await self._write()

    async def add(
        self,
        period: Period,
        machines: Mapping[str, MachineSums],
        dark: bool = False,
        carries: Mapping[str, Carry] | None = None,
    ) -> None:
        """One period."""
        self._note(period, machines, dark, carries)
        await self._write()

    def _note(
        self,
        period: Period,
        machines: Mapping[str, MachineSums],
        dark: bool = False,
        carries: Mapping[str, Carry] | None = None,
    ) -> None:
        due = period.length // SECOND
        counted = DeviceSums(expected=due, missing=due) if dark else DeviceSums(expected=due, good=due - 2, bad=2)
        sums = Sums(
            start=period.start,
            end=period.end,
            covered_us=period.length,
            machines=dict(machines),
            devices={each.name: counted for each in self.configuration.devices},
        )
        today = day_of(period.start, self.zone)
        so_far = self._day if self._day and today.start <= self._day.start < today.end else None
        self._day = with_period(so_far, sums)
        self._seq += 1
        body = (
            b'{"header":{"gateway":"gw-test","agent_version":"0.1.0",'
            b'"clock":{"trusted":true,"source":"ntp","offset_s":0.02}}}'
        )
        record = DigestRecord(
            self._seq, "period", period.start, period.end, f"{self._seq:064x}", self._previous, body, "s", "accepted"
        )
        self._previous = record.hash
        self._digests.append(record)
        for each in records(Kept(sums=sums, carries=dict(carries or {})), self._day, self.zone):
            self._sums[each.kind, each.start] = each

    async def _write(self) -> None:
        # In one transaction: a month of periods one by one is a month of waits for the disk.
        async def work(transaction: Transaction) -> None:
            for record in self._digests:
                await insert_digest(transaction, record)
            await insert_rollups(transaction, list(self._sums.values()))

        await self.store._db.write(work, size=1000)
        self._digests, self._sums = [], {}


def _hidden(machines: Mapping[str, MachineSums], length: int) -> dict[str, MachineSums]:
    return {
        name: MachineSums(
            span_us=length,
            states={**dict.fromkeys(STATES, 0), "unknown": length},
            calendar=each.calendar,
            planned_us=each.planned_us,
            unknown_us=each.planned_us,
        )
        for name, each in machines.items()
    }


async def filled(folder: Path, made: Configuration, start: int, end: int, *, dark: Sequence[Period] = ()) -> Store:
    """A store in ``folder`` with such a plant in it."""
    store = await Store.open(folder / "buffer.db")
    await Plant(store, made).run(start, end, dark=dark)
    return store
