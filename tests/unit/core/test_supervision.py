"""Components under supervision: whatever escapes ends nobody else, is said once, shown, and got over."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agent.backoff import Backoff
from agent.core import supervision as module
from agent.core.supervision import ComponentSnapshot, Supervision
from agent.errors import GongfuError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda self: 0.001)
    monkeypatch.setattr(module, "GRACE_S", 0.05)


@asynccontextmanager
async def supervised() -> AsyncIterator[Supervision]:
    supervision = Supervision()
    try:
        yield supervision
    finally:
        await supervision.stop_all(1.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


def shown(supervision: Supervision, name: str = "it") -> ComponentSnapshot:
    return next(each for each in supervision.snapshots() if each.name == name)


def too_deep() -> None:
    too_deep()


def too_large() -> None:
    bytearray(sys.maxsize)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        (too_deep, "unexpected"),
        (too_large, "MemoryError"),
        (raising(RuntimeError("a bug")), "unexpected"),
        (raising(SystemExit(3)), "unexpected"),
        (raising(KeyboardInterrupt()), "unexpected"),
        (raising(asyncio.CancelledError()), "unexpected"),
        (raising(BaseExceptionGroup("many", [ValueError("one")])), "unexpected"),
        (raising(GongfuError("clear", remedy="do this")), "failed"),
        (raising(OSError(errno.ENOSPC, "No space left on device")), "ENOSPC"),
        (raising(OSError(errno.EMFILE, "Too many open files")), "EMFILE"),
        (lambda: None, "ended"),
    ],
)
async def test_whatever_escapes_is_said_once_shown_and_got_over(
    fail: Callable[[], None], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    starts = beside = 0

    async def it() -> None:
        nonlocal starts
        starts += 1
        await asyncio.sleep(0)
        fail()

    async def other() -> None:
        nonlocal beside
        while True:
            beside += 1
            await asyncio.sleep(0)

    async with supervised() as supervision:
        supervision.start("it", it)
        supervision.start("other", other)
        await until(lambda: starts > 5)
        seen, before = shown(supervision), beside
        await until(lambda: beside > before)
        assert seen.code == code and seen.remedy and seen.restarts >= 4
        assert shown(supervision, "other").restarts == 0
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1 and "it failed" in said[0].message
    assert code in ("ended", "failed") or said[0].exc_info


async def test_what_cannot_even_be_started_is_treated_the_same() -> None:
    def it() -> None:
        raise RuntimeError("no coroutine at all")

    async with supervised() as supervision:
        supervision.start("it", it)  # type: ignore[arg-type]
        await until(lambda: shown(supervision).restarts > 2)


async def test_a_component_that_is_well_for_long_is_shown_well_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    failed = False

    async def it() -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("once")
        await asyncio.Event().wait()

    supervision = Supervision(lambda: now)
    supervision.start("it", it, patience_s=1e9)
    await until(lambda: shown(supervision).restarts == 1 and shown(supervision).state == "running")
    assert shown(supervision).code == "unexpected"
    now = module.STABLE_S
    assert (shown(supervision).code, shown(supervision).error, shown(supervision).restarts) == ("", "", 1)
    await supervision.stop_all(1.0)


async def test_a_component_that_hangs_is_started_anew_and_the_next_goes_on() -> None:
    starts = 0
    ended = asyncio.Event()

    async def it() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
        while starts == 2:  # noqa: ASYNC110 - it makes steps, and waits for nothing
            await asyncio.sleep(0.01)

    async with supervised() as supervision:
        supervision.start("it", it, patience_s=0.2)
        await until(lambda: starts == 2)
        assert ended.is_set()
        assert (shown(supervision).code, shown(supervision).restarts) == ("hung", 1)


async def test_a_component_that_does_not_even_end_is_left_behind_and_said() -> None:
    starts = 0
    release = asyncio.Event()

    async def it() -> None:
        nonlocal starts
        starts += 1
        if starts > 1:
            await asyncio.Event().wait()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with supervised() as supervision:
        supervision.start("it", it, patience_s=0.2)
        await until(lambda: starts == 2)
        assert "does not end" in shown(supervision).error
        release.set()


async def test_stopping_propagates_to_what_a_component_has_started() -> None:
    inner = asyncio.Event()

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            inner.set()

    async def it() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    async with supervised() as supervision:
        supervision.start("it", it)
        await asyncio.sleep(0)
        await until(lambda: shown(supervision).state == "running")
        await asyncio.sleep(0.01)
        await supervision.stop(["it", "unknown"])
        assert inner.is_set() and not supervision.runs("it")
