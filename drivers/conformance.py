"""What every driver must do, as checks that any test runner can call.

A test module describes its driver and the device it talks to as a :class:`DriverHarness` and runs
every check on it. With pytest (and pytest-asyncio)::

    @pytest.mark.parametrize("check", CHECKS, ids=check_name)
    async def test_conforms(check):
        await check(MyHarness())

and with nothing at all: ``failures = conform(MyHarness)``. A check that fails raises
:class:`NotConforming`. The device may run in the same process and event loop.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from drivers.browsing import Tree, Wanted
from drivers.contract import Context, Driver, DriverError, DriverType, FailureKind, Point, PointGroup, Samples
from drivers.quality import Quality, level

CLOCK_SHIFT_US = 3_600_000_000
"""The lent clock is an hour ahead of the system's, so a driver that stamps with another one is found."""
SETTLE_S = 5.0
"""How long a connection that was closed may take to disappear, the device's end of it included."""
MAX_STEPS = 60
"""Cancellation is tried at each of the first so many awaits of an operation."""


class NotConforming(AssertionError):
    """The driver breaks the contract; the message says where and how."""


class DriverHarness(Protocol):
    """A driver under test and the device it talks to. One object serves one check."""

    type: DriverType
    options: Any
    """A valid :attr:`DriverType.options` object."""
    points: Sequence[Point]
    """Valid points, ``points[i].index == i``; at least one of them good when the device is plugged."""
    bound_s: float
    """Neither ``open`` nor ``read`` may take longer than this, whatever the device does."""

    async def plug(self) -> None:
        """Make the device answer; the same device at the same address again after :meth:`unplug`."""

    async def unplug(self) -> None:
        """Make the device vanish: it neither answers nor accepts. May be called twice."""

    def writes(self) -> Sequence[object]:
        """Everything the device was asked to change; must stay empty."""


_T = TypeVar("_T")
Check = Callable[[DriverHarness], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Bench:
    """A driver on the bench, with what it was lent."""

    harness: DriverHarness
    driver: Driver
    context: Context
    group: PointGroup

    async def open(self) -> None:
        """``open`` within the bound."""
        await _bounded("open", self.driver.open(), self.harness)

    async def read(self, group: PointGroup | None = None) -> Samples:
        """``read`` within the bound."""
        return await _bounded("read", self.driver.read(group or self.group), self.harness)

    async def close(self) -> None:
        """``close`` within the bound; a DriverError is a breach."""
        try:
            await _bounded("close", self.driver.close(), self.harness)
        except DriverError as error:
            raise NotConforming(f"close raised {error!r}; it must never raise DriverError") from error


@asynccontextmanager
async def bench(harness: DriverHarness, shared: dict[Any, Any] | None = None) -> AsyncIterator[Bench]:
    """A plugged device and a new driver for it, not yet open; closed and unplugged at the end."""
    await harness.plug()
    context = Context(device="conformance", now=_now, shared={} if shared is None else shared)
    driver = harness.type.create(harness.options, list(harness.points), context)
    made = Bench(harness, driver, context, PointGroup(tuple(harness.points), 1.0))
    try:
        yield made
    finally:
        try:
            await made.close()
        finally:
            await harness.unplug()


async def check_configuration_check_is_pure(harness: DriverHarness) -> None:
    """``check`` finds no fault in what is valid, the same each time, and touches nothing."""
    await harness.unplug()
    before = Holdings.now()
    options, points = copy.deepcopy(harness.options), copy.deepcopy(list(harness.points))
    found = [list(harness.type.check(harness.options, list(harness.points))) for _ in range(2)]
    _require(not found[0], f"check finds fault in a valid configuration: {found[0]}")
    _require(found[0] == found[1], "check gives another result the second time")
    _require(harness.options == options and list(harness.points) == points, "check changed what it was given")
    await before.restored("check")


async def check_create_does_not_connect(harness: DriverHarness) -> None:
    """``create`` works while the device is away, and holds nothing."""
    await harness.unplug()
    before = Holdings.now()
    context = Context(device="conformance", now=_now)
    driver = harness.type.create(harness.options, list(harness.points), context)
    await before.restored("create")
    _json(driver.observations())
    await driver.close()


async def check_one_row_a_point(harness: DriverHarness) -> None:
    """Each read gives rows for the points of its group and for no other, each point's in the order of time."""
    points = tuple(harness.points)
    async with bench(harness) as b:
        await b.open()
        for group in (b.group, PointGroup(points[-1:], 2.0), PointGroup(points[::-1], 3.0), b.group):
            samples = await b.read(group)
            got, wanted = sorted(set(samples.index.tolist())), sorted(point.index for point in group.points)
            _require(got == wanted, f"a group of points {wanted} gave rows for {got}")
            _check_order(samples)


async def check_columns(harness: DriverHarness) -> None:
    """The block has the declared types and equal lengths; what is bad or text has no number."""
    async with bench(harness) as b:
        await b.open()
        samples = await b.read()
    rows = len(samples.index)
    columns = {"index": np.int32, "time": np.int64, "value": np.float64, "quality": np.uint8}
    if samples.source_time is not None:
        columns["source_time"] = np.int64
    for name, dtype in columns.items():
        column = getattr(samples, name)
        _require(isinstance(column, np.ndarray), f"{name} is a {type(column).__name__}, not an array")
        _require(column.dtype == dtype, f"{name} is {column.dtype}, not {np.dtype(dtype)}")
        _require(column.shape == (rows,), f"{name} has shape {column.shape}, not ({rows},)")
    for row in range(rows):
        _check_row(samples, row)
    for fault in samples.faults:
        _require(fault.kind is FailureKind.PARTIAL, f"a fault of some points is {fault.kind}, not PARTIAL: {fault}")
        _check_message(fault)
    _require(any(level(code) == "good" for code in samples.quality.tolist()), "no point of a healthy device is good")


async def check_stamps(harness: DriverHarness) -> None:
    """Samples are stamped with the lent clock when they arrive; a new read has new stamps (L28, L32).

    What a subscription brought since the last read is as new as what a read brings: its stamps lie
    after that read's end (the first read's: after ``open``).
    """
    async with bench(harness) as b:
        since = _now()
        await b.open()
        for _ in range(3):
            samples = await b.read()
            after = _now()
            outside = [stamp for stamp in samples.time.tolist() if not since <= stamp <= after]
            _require(not outside, f"stamps {outside} lie outside {since}..{after}, since the last read")
            since = after


async def check_open_and_close_again(harness: DriverHarness) -> None:
    """``close`` may come before ``open`` and twice; the same object opens again, and leaves nothing behind."""
    async with bench(harness) as b:
        before = Holdings.now()
        await b.close()
        for _ in range(3):
            await b.open()
            _require_good(await b.read())
            _json(b.driver.observations())
            await b.close()
            await b.close()
            await before.restored("close")
        _require(not b.context.shared, f"close left {list(b.context.shared)} in Context.shared")


async def check_unplugged_while_open(harness: DriverHarness) -> None:
    """A device that vanishes fails the read as transient, in bounded time; the same object recovers."""
    async with bench(harness) as b:
        before = Holdings.now()
        await b.open()
        _require_good(await b.read())
        await harness.unplug()
        await _read_what_had_arrived(b)
        for _ in range(2):
            await _expect_transient("read of a device that vanished", b.read())
            _json(b.driver.observations())
        await b.close()
        await harness.plug()
        await b.open()
        _require_good(await b.read())
        await b.close()
        await before.restored("close after a failure")


async def check_unplugged_at_start(harness: DriverHarness) -> None:
    """A device that is away at the start fails ``open`` (or the first read) as transient, and comes later."""
    async with bench(harness) as b:
        before = Holdings.now()
        await harness.unplug()
        for _ in range(2):
            await _expect_transient("open of a device that is away", _open_and_read(b))
            await b.close()
        await harness.plug()
        await b.open()
        _require_good(await b.read())
        await b.close()
        await before.restored("close after failed attempts to open")


async def check_cancelled_open(harness: DriverHarness) -> None:
    """``open`` cancelled at any await leaves no task and no file descriptor."""
    async with bench(harness) as b:
        await _cancel_everywhere(b, b.driver.open, prepare=None)


async def check_cancelled_read(harness: DriverHarness) -> None:
    """``read`` cancelled at any await leaves no task and no file descriptor, and spoils no later read."""
    async with bench(harness) as b:
        await _cancel_everywhere(b, lambda: b.driver.read(b.group), prepare=b.open)


async def check_two_devices(harness: DriverHarness) -> None:
    """Two drivers that share a context do not disturb each other; the last one clears what they share."""
    shared: dict[Any, Any] = {}
    async with bench(harness, shared) as one:
        context = Context(device="conformance-2", now=_now, shared=shared)
        driver = harness.type.create(harness.options, list(harness.points), context)
        two = Bench(harness, driver, context, PointGroup(tuple(harness.points), 1.0))
        try:
            await one.open()
            await two.open()
            for samples in await asyncio.gather(one.read(), two.read()):
                _require_good(samples)
            await one.close()
            _require_good(await two.read())
        finally:
            await two.close()
        _require(not shared, f"both are closed and {list(shared)} is still in Context.shared")


async def check_nothing_is_written(harness: DriverHarness) -> None:
    """The device is never asked to change anything."""
    async with bench(harness) as b:
        await b.open()
        await b.read()
        await b.read()
        await b.close()
        _require(not harness.writes(), f"the driver wrote to the device: {list(harness.writes())}")


async def check_says_nothing(harness: DriverHarness) -> None:
    """The driver logs nothing itself: the framework reports, once per change."""
    module = harness.type.create.__module__
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if f"{record.name}.".startswith(f"{module}."):
                heard.append(record.getMessage())

    ear = Ear(logging.INFO)
    logging.getLogger().addHandler(ear)
    try:
        await check_unplugged_while_open(harness)
    finally:
        logging.getLogger().removeHandler(ear)
    _require(not heard, f"the driver logs: {heard}")


async def check_browse(harness: DriverHarness) -> None:
    """A driver that browses tells addresses that ``check`` accepts, keeps to its bounds, and leaves nothing behind."""
    browse = harness.type.browse
    if browse is None:
        return
    context = Context(device="conformance", now=_now)
    await harness.plug()
    before = Holdings.now()
    try:
        tree = await _bounded("browse", browse(harness.options, context, Wanted()), harness)
        _check_tree(tree, harness)
        few = await _bounded("browse", browse(harness.options, context, Wanted(most=2)), harness)
        _require(len(few.items) <= 2, f"browse gave {len(few.items)} items where 2 were asked for")
        _require(bool(few.notes) or len(tree.items) <= 2, "browse does not say that there is more")
        for step in range(1, MAX_STEPS + 1):
            if not await _cancelled_at(step, browse(harness.options, context, Wanted(most=2)), harness.bound_s):
                break
            await before.restored(f"browse cancelled at await number {step}")
    finally:
        await harness.unplug()
    away = browse(harness.options, context, Wanted())
    await _expect_transient("browsing a device that is away", _bounded("browse", away, harness))


def _check_tree(tree: Tree, harness: DriverHarness) -> None:
    _require(bool(tree.items) and tree.items[0].depth == 0, "browse gave no first item of depth 0")
    depths = [item.depth for item in tree.items]
    _require(all(one + 1 >= next_ for one, next_ in pairwise(depths)), "an item is more than one below the one before")
    found = [item for item in tree.items if item.address]
    _require(bool(found), "browse found nothing that can be read in a healthy device")
    points = [Point(index=at, name=f"t{at}", address=item.address, type=item.type) for at, item in enumerate(found)]
    problems = list(harness.type.check(harness.options, points))
    _require(not problems, f"check finds fault in what browse found: {problems[:3]}")


CHECKS: tuple[Check, ...] = (
    check_configuration_check_is_pure,
    check_create_does_not_connect,
    check_one_row_a_point,
    check_columns,
    check_stamps,
    check_open_and_close_again,
    check_unplugged_while_open,
    check_unplugged_at_start,
    check_cancelled_open,
    check_cancelled_read,
    check_two_devices,
    check_browse,
    check_nothing_is_written,
    check_says_nothing,
)


def check_name(check: Check) -> str:
    """A check's name without its prefix, for a test's id."""
    return str(getattr(check, "__name__", check)).removeprefix("check_")


def conform(make: Callable[[], DriverHarness]) -> dict[str, str]:
    """Run every check on a harness of its own; the failures, by check. Empty: the driver conforms."""
    failures = {}
    for check in CHECKS:
        try:
            asyncio.run(check(make()))
        except (NotConforming, DriverError) as error:
            failures[check_name(check)] = str(error)
    return failures


@dataclass(frozen=True, slots=True)
class Holdings:
    """The tasks and file descriptors of this process at a moment."""

    tasks: frozenset[asyncio.Task[Any]] = field(repr=False)
    descriptors: int

    @classmethod
    def now(cls) -> Holdings:
        """As they are."""
        return cls(frozenset(asyncio.all_tasks()), len(_descriptors()))

    async def restored(self, what: str) -> None:
        """Wait until nothing is held beyond this; raises :class:`NotConforming` if that never comes."""
        # The other end of a connection in the same process needs some turns of the loop to see it closed.
        end = time.monotonic() + SETTLE_S
        while True:
            left = [task for task in asyncio.all_tasks() - self.tasks if not task.done()]
            if not left and len(_descriptors()) <= self.descriptors:
                return
            if time.monotonic() > end:
                held = f"tasks {[task.get_name() for task in left]}, descriptors {_descriptors()}"
                raise NotConforming(f"{what} left something behind: {held} (before: {self.descriptors} descriptors)")
            await asyncio.sleep(0.005)


def _descriptors() -> list[str]:
    """What each open file descriptor of this process is; empty where the system does not tell."""
    found = []
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        if folder.is_dir():
            for entry in list(folder.iterdir()):
                try:
                    found.append(f"{entry.name}={entry.readlink()}")
                except OSError:  # the descriptor of the listing itself
                    continue
            break
    return found


def _now() -> int:
    return time.time_ns() // 1000 + CLOCK_SHIFT_US


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise NotConforming(message)


def _require_good(samples: Samples) -> None:
    good = any(level(code) == "good" for code in samples.quality.tolist())
    _require(good, f"no good sample from a plugged device; faults: {[str(fault) for fault in samples.faults]}")


def _check_order(samples: Samples) -> None:
    latest: dict[int, int] = {}
    for index, stamp in zip(samples.index.tolist(), samples.time.tolist(), strict=True):
        _require(latest.get(index, stamp) <= stamp, f"rows of point {index} are not in the order of time")
        latest[index] = stamp


def _check_row(samples: Samples, row: int) -> None:
    code, value = int(samples.quality[row]), float(samples.value[row])
    where = f"row {row} (point {samples.index[row]})"
    _require(code in Quality.__members__.values(), f"{where} has the unknown quality {code}")
    if level(code) == "bad":
        _require(value != value, f"{where} is bad and has the value {value}; it must be NaN")
        _require(row not in samples.text, f"{where} is bad and has a text")
    elif row in samples.text:
        _require(value != value, f"{where} is text and has the value {value}; it must be NaN")
        _require(isinstance(samples.text[row], str), f"{where} has a text that is no str")
    else:
        _require(value == value, f"{where} is {level(code)} and has no value")


def _check_message(error: DriverError) -> None:
    text = str(error)
    _require(bool(text.strip()), "a DriverError says nothing")
    _require("\n" not in text, f"a DriverError's message has several lines: {text!r}")
    _require(level(error.quality) == "bad", f"a DriverError gives its points the quality {error.quality!r}")


def _json(observations: object) -> None:
    try:
        json.dumps(dict(observations))  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise NotConforming(f"observations are not JSON-able: {error}") from error


async def _bounded(what: str, operation: Awaitable[_T], harness: DriverHarness) -> _T:
    late = asyncio.timeout(harness.bound_s)
    try:
        async with late:
            return await operation
    except TimeoutError as error:
        if late.expired():
            raise NotConforming(f"{what} took longer than {harness.bound_s} s") from error
        raise NotConforming(f"{what} raised TimeoutError; it must be a DriverError") from error
    except OSError as error:
        raise NotConforming(f"{what} raised {error!r}; it must be a DriverError") from error


async def _expect_transient(what: str, operation: Awaitable[object]) -> None:
    try:
        await operation
    except DriverError as error:
        _check_message(error)
        _require(error.kind is FailureKind.TRANSIENT, f"{what} is {error.kind}, not TRANSIENT: {error}")
    else:
        raise NotConforming(f"{what} did not fail")


async def _read_what_had_arrived(b: Bench) -> None:
    """What a subscription brought before the device vanished is no lie, and must not be lost."""
    gone = _now()
    try:
        samples = await b.read()
    except DriverError:
        return  # looked at by the next read
    late = [stamp for stamp in samples.time.tolist() if stamp > gone]
    _require(not late, f"stamps {late} of a device that vanished before {gone}")


async def _open_and_read(b: Bench) -> None:
    await b.open()  # without a connection (UDP, a serial line) this may well succeed
    await b.read()


async def _cancel_everywhere(
    b: Bench, operation: Callable[[], Coroutine[Any, Any, object]], prepare: Callable[[], Awaitable[None]] | None
) -> None:
    """Cancel the operation at its first await, at its second, … until it ends before it can be cancelled."""
    before = Holdings.now()
    for step in range(1, MAX_STEPS + 1):
        if prepare is not None:
            await prepare()
        reached = await _cancelled_at(step, operation(), b.harness.bound_s)
        await b.close()
        await before.restored(f"cancellation at await number {step}")
        await b.open()
        _require_good(await b.read())
        await b.close()
        await before.restored("close")
        if not reached:
            return


async def _cancelled_at(step: int, operation: Coroutine[Any, Any, object], bound_s: float) -> bool:
    """Run the operation and cancel it at its ``step``-th await; whether it got so far."""
    reached = False

    @types.coroutine
    def drive() -> Generator[Any, Any, None]:
        nonlocal reached
        task = asyncio.current_task()
        error: BaseException | None = None
        for count in range(1, 1_000_000):
            try:
                waiting_for = operation.throw(error) if error else operation.send(None)
            except StopIteration:
                return
            if count == step and task is not None:
                reached = task.cancel()  # takes effect at the yield below, as it would from outside
            error = None
            try:
                yield waiting_for
            except BaseException as caught:  # noqa: BLE001 - handed on into the operation
                error = caught

    async def main() -> None:
        await drive()

    task = asyncio.ensure_future(main())
    done, _ = await asyncio.wait({task}, timeout=bound_s)
    if not done:
        task.cancel()
        await asyncio.wait({task})
        raise NotConforming(f"cancelled at await number {step}, it did not end within {bound_s} s")
    if not task.cancelled():
        error = task.exception()
        _require(not reached, f"cancelled at await number {step}, it swallowed the cancellation ({error!r})")
        if error:
            raise error
    return reached
