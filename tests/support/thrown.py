"""Throws what nobody foresaw into a component of the agent, at whichever of its awaits a test wants.

A coroutine is driven step by step: at its n-th suspension since the component's start the error is raised where it
waits, be it in the component's own task or in one that it has started.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from agent.core import supervision

_component: ContextVar[str] = ContextVar("component", default="")


def too_large() -> BaseException:
    """The MemoryError of a real allocation."""
    try:
        bytearray(sys.maxsize)
    except MemoryError as error:
        return error
    raise AssertionError("there was room for it")


def too_deep() -> BaseException:
    """A real RecursionError."""

    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError as error:
        return error.with_traceback(None)
    raise AssertionError("it came to an end")


def of_the_disk(number: int) -> Callable[[], BaseException]:
    return lambda: OSError(number, os.strerror(number))


DISK = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "ENFILE", "EMFILE", "EACCES", "ENODEV")
ERRORS: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError("thrown"),
    "OverflowError": lambda: OverflowError("int too large to convert"),
    "RecursionError": too_deep,
    "MemoryError": too_large,
    "CancelledError": asyncio.CancelledError,
    "KeyError": lambda: KeyError("thrown"),
    "TimeoutError": TimeoutError,
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "thrown"),
    **{name: of_the_disk(getattr(errno, name)) for name in DISK},
}


class Injector:
    """Use :meth:`install` before the agent starts, then :meth:`arm`."""

    def __init__(self) -> None:
        self._armed: dict[str, tuple[int, BaseException]] = {}
        self._suspensions: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self.thrown: dict[str, int] = {}
        """By component: how many were."""

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Drive whatever is started from now on, on the running loop."""
        patch.setattr(supervision, "step_by_step", self._component)
        asyncio.get_running_loop().set_task_factory(self._task)

    def arm(self, component: str, at: int, error: BaseException) -> None:
        """Throw at the n-th suspension from now on; 0: at the one where the component waits now."""
        self._suspensions[component] = 0
        self._armed[component] = (at, error)
        if at == 0:
            self._tasks[component].cancel()

    def _instead_of(self, error: BaseException, name: str) -> BaseException:
        task = asyncio.current_task()
        if task is not self._tasks[name] or self._armed.get(name, (1, None))[0] != 0:
            return error
        task.uncancel()
        _, mine = self._armed.pop(name)
        self.thrown[name] = self.thrown.get(name, 0) + 1
        return mine

    def disarm(self, component: str) -> bool:
        """Whether it had not been thrown yet."""
        return self._armed.pop(component, None) is not None

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> asyncio.Task[Any]:
        name = _component.get()
        if not name:
            return asyncio.Task(work, loop=loop, **how)
        task = asyncio.Task(_driven(self._steps(work, name, lambda: None)), loop=loop, **how)
        task.add_done_callback(lambda _: _let_go(work))
        return task

    @types.coroutine
    def _component(self, work: Coroutine[Any, Any, None], stepped: Callable[[], None]) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        name = task.get_name()
        _component.set(name)
        self._tasks[name] = task
        yield from self._steps(work, name, stepped)

    @types.coroutine
    def _steps(self, work: Any, name: str, stepped: Callable[[], None]) -> Generator[Any, Any, Any]:
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = work.send(None) if thrown is None else work.throw(thrown)
                while error := self._due(name):
                    # What was waited for is let go; as asyncio does when it cancels.
                    if isinstance(waited_for, asyncio.Future):
                        waited_for._asyncio_future_blocking = False
                    waited_for = work.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                thrown = None
            try:
                yield waited_for
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on
                thrown = self._instead_of(error, name)
            stepped()

    def _due(self, name: str) -> BaseException | None:
        if name not in self._armed or self._armed[name][0] == 0:
            return None
        at, error = self._armed[name]
        self._suspensions[name] += 1
        if self._suspensions[name] < at:
            return None
        del self._armed[name]
        self.thrown[name] = self.thrown.get(name, 0) + 1
        return error


async def _driven(work: Any) -> Any:
    return await work


def _let_go(work: Any) -> None:
    if inspect.iscoroutine(work) and inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
        work.close()  # its task was cancelled before its first step
