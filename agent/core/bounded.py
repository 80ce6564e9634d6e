"""A bound for calls of code that may not keep one: it ends, or it is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STEP_S = 30.0
"""Longest single sleep within :func:`rest`."""
GRACE_S = 2.0
"""How long something that was cancelled may take to end."""
_left: set[asyncio.Task[Any]] = set()


class LeftBehind(TimeoutError):
    """It did not even end when it was cancelled; it may still run, and what it used is not to be used again."""


class Misbehaved(RuntimeError):
    """It ended in a way that would have ended more than itself."""


async def within(seconds: float, work: Coroutine[Any, Any, T], *, grace_s: float = GRACE_S) -> T:
    """What ``work`` returns or raises. Raises TimeoutError when it takes longer, and :class:`LeftBehind` when it
    does not end then, nor within ``grace_s`` of being cancelled.

    An exit or a cancellation that ``work`` makes up by itself becomes :class:`Misbehaved`; one that comes from
    outside is passed on to it, and propagates.
    """
    task = asyncio.create_task(contained(work))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        ended = await end(task, grace_s)
    if not ended:
        raise LeftBehind(f"does not end, {seconds + grace_s:g} s after it began")
    raise TimeoutError(f"takes longer than {seconds:g} s")


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
