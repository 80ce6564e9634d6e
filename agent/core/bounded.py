"""A bound for calls of code that may not keep one: it ends, or it is left behind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STEP_S = 30.0
"""Longest single sleep within :func:`rest`."""
GRACE_S = 2.0
"""How long something that was cancelled may take to end."""
_left: set[asyncio.Task[Any]] = set()


class TookTooLong(TimeoutError):
    """It was cut short at its bound."""


class Misbehaved(RuntimeError):
    """It ended in a way that would have ended more than itself."""


async def within(
    seconds: float,
    work: Coroutine[Any, Any, T],
    *,
    on_left: Callable[[], None] = lambda: None,
) -> T:
    """What ``work`` returns or raises. Raises :class:`TookTooLong` when that takes longer than ``seconds``.

    Work that does not end soon after being cancelled is left behind, and ``on_left`` called: it may
    still run, and what it used is not to be used again. An exit or a cancellation that it makes up by itself
    becomes :class:`Misbehaved`; a cancellation from outside is passed on to it, and propagates.
    """
    task = asyncio.create_task(contained(work))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not await end(task, GRACE_S):
            on_left()
        elif inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
            work.close()  # ended before its first step
    raise TookTooLong(f"takes longer than {seconds:g} s")


async def rest(seconds: float) -> None:
    """Sleep, in steps by which supervision sees that all is well."""
    clock = asyncio.get_running_loop().time
    wake = clock() + seconds
    while True:
        await asyncio.sleep(min(max(wake - clock(), 0.0), STEP_S))
        if clock() >= wake:
            return


async def contained(work: Coroutine[Any, Any, T]) -> T:
    """Await, in a task of its own; whatever it raises is an Exception unless the task was cancelled."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Misbehaved("something that was waited for had been cancelled") from error
    except (SystemExit, KeyboardInterrupt) as error:
        raise Misbehaved(f"tried to end the program: {error!r}") from error


async def end(task: asyncio.Task[Any], grace_s: float) -> bool:
    """Cancel a task and wait for its end; False when it goes on nevertheless, and is left behind."""
    if not task.done():
        task.cancel()
        try:
            await asyncio.wait({task}, timeout=grace_s)
        finally:
            if not task.done():
                _left.add(task)
                task.add_done_callback(_forget)
    if task.done() and not task.cancelled():
        task.exception()  # seen: whoever cancelled it does not want to know any more
    return task.done()


def left_behind() -> int:
    """How many calls that ignored their end still run in this process."""
    return len(_left)


def _forget(task: asyncio.Task[Any]) -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()
