"""Supervision: every component of the agent runs under it, and none can end the process or another one.

A component is a coroutine function that is meant to run until it is cancelled. What escapes from it, whatever it is,
is logged once with its trace and shown with a remedy, and the component is started anew after a backoff that a
stable run resets. One that returns although nobody asked it to, and one that hangs, are treated the same way.
Cancellation propagates: a component that is stopped takes along what it has started.

Progress is measured from outside, so that no component can forget to tell: each time the event loop takes up the
component's own task is a step, and a component without a step for longer than its patience hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from agent.backoff import Backoff
from agent.core.bounded import contained, end
from agent.core.faults import ENDED, HUNG, code_of, in_a_line, remedy_for, remedy_of
from agent.errors import GongfuError

log = logging.getLogger(__name__)

PATIENCE_S = 180.0
"""Longest time that one wait of a component takes when all is well, unless it says otherwise."""
STABLE_S = 60.0
"""A component that has run for so long is well again."""
FIRST_S, CAP_S = 1.0, 30.0
"""Of the backoff between two starts."""
GRACE_S = 15.0
"""How long a component may take to end when it was cancelled; a device lets go of its connection meanwhile."""
OVERDUE_S = 120.0
"""Beyond a component's patience: longer than ending and starting it anew ever takes."""
SAY_AGAIN_S = 3600.0
"""Before the same failure is logged with its trace again."""

Work = Callable[[], Coroutine[Any, Any, None]]
State = Literal["starting", "running", "restarting", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSnapshot:
    """A component as it is now; ``code``, ``error`` and ``remedy`` are empty when it is well."""

    name: str
    state: State
    essential: bool
    restarts: int
    code: str
    error: str
    remedy: str
    quiet_s: float
    """Seconds since its last step."""
    overdue: bool = False
    """Whether it hangs although supervision should have started it anew long ago."""


class Component:
    """One component under supervision; see :meth:`Supervision.start`."""

    def __init__(
        self, name: str, work: Work, *, patience_s: float, cap_s: float, essential: bool, monotonic: Callable[[], float]
    ) -> None:
        self.name = name
        self.essential = essential
        self._work = work
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._backoff = Backoff(first_s=FIRST_S, cap_s=cap_s)
        self._state: State = "starting"
        self._restarts = 0
        self._code = self._error = self._remedy = ""
        self._began = self._stepped = monotonic()
        self._said: tuple[str, float] = ("", float("-inf"))
        self._task: asyncio.Task[None] | None = None

    def snapshot(self) -> ComponentSnapshot:
        """The component as it is now."""
        now = self._monotonic()
        well = self._state == "running" and (not self._code or now - self._began >= STABLE_S)
        return ComponentSnapshot(
            name=self.name,
            state=self._state,
            essential=self.essential,
            restarts=self._restarts,
            code="" if well else self._code,
            error="" if well else self._error,
            remedy="" if well else self._remedy,
            quiet_s=now - self._stepped,
            overdue=self._state != "starting" and now - self._stepped > self._patience_s + OVERDUE_S,
        )

    def start(self, delay_s: float) -> None:
        """Run it for ever, the first time after ``delay_s``."""
        self._task = asyncio.create_task(self._supervise(delay_s), name=f"supervise {self.name}")

    async def stop(self, grace_s: float) -> None:
        """End it; one that does not end within ``grace_s`` is left behind, and said."""
        task, self._task = self._task, None
        if task is None:
            return
        if not await end(task, grace_s):
            log.error("%s does not end within %g s; it is left behind", self.name, grace_s)
        self._state = "stopped"

    async def _supervise(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            with contextlib.suppress(Exception):  # no memory even to say what happened: on to the next start
                await self._run_once()
            if self._monotonic() - self._began >= STABLE_S:
                self._backoff.reset()
            self._state = "restarting"
            await asyncio.sleep(self._backoff.next())
            self._restarts += 1

    async def _run_once(self) -> None:
        self._state, self._began = "running", self._monotonic()
        self._note_step()
        task = asyncio.create_task(contained(self._step_by_step()), name=self.name)
        try:
            await self._until_it_ends_or_hangs(task)
            if hangs := not task.done():
                self._state = "restarting"
                self._failed(HUNG, f"made no step for {self._patience_s:g} s")
        finally:
            ended = await end(task, GRACE_S)
        if hangs:
            self._error += "" if ended else "; it does not end either"
        elif task.cancelled():
            self._failed(ENDED, "was cancelled from outside")
        elif (error := task.exception()) is not None:
            self._failed(code_of(error), in_a_line(error), error)
        else:
            self._failed(ENDED, "ended although nobody asked it to")

    async def _step_by_step(self) -> None:
        await step_by_step(self._work(), self._note_step)

    async def _until_it_ends_or_hangs(self, task: asyncio.Task[None]) -> None:
        while not task.done():
            left = self._stepped + self._patience_s - self._monotonic()
            if left <= 0:
                return
            await asyncio.wait({task}, timeout=left)

    def _note_step(self) -> None:
        self._stepped = self._monotonic()

    def _failed(self, code: str, what: str, error: BaseException | None = None) -> None:
        self._code, self._error = code, what
        self._remedy = remedy_of(error) if error is not None else remedy_for(code)
        now, place = self._monotonic(), f"{code} {_place(error)}"
        said, at = self._said
        if place == said and now - at < SAY_AGAIN_S:
            log.debug("%s failed again: %s", self.name, what)
            return
        self._said = (place, now)
        trace = None if isinstance(error, GongfuError) else error  # what was foreseen says all in its line
        log.error("%s failed and is started anew: %s → %s", self.name, what, self._remedy, exc_info=trace)


class Supervision:
    """All components of one agent."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._components: dict[str, Component] = {}

    def start(
        self,
        name: str,
        work: Work,
        *,
        patience_s: float = PATIENCE_S,
        cap_s: float = CAP_S,
        delay_s: float = 0.0,
        essential: bool = False,
    ) -> Component:
        """Run ``work()`` for ever; called anew for each start. Names are unique among those that run.

        ``patience_s``: the longest time that one wait of it takes when all is well. ``cap_s``: the longest pause
        before a restart. ``delay_s``: before the first start. ``essential``: the gateway is not healthy without it.
        """
        if name in self._components:
            raise ValueError(f"{name} runs already")
        component = Component(
            name, work, patience_s=patience_s, cap_s=cap_s, essential=essential, monotonic=self._monotonic
        )
        self._components[name] = component
        component.start(delay_s)
        return component

    async def stop(self, names: Iterable[str], grace_s: float = GRACE_S + 1.0) -> None:
        """Stop some, at the same time; those that are not known do not run."""
        found = [self._components.pop(name) for name in list(names) if name in self._components]
        if found:
            await asyncio.gather(*(each.stop(grace_s) for each in found))

    async def stop_all(self, grace_s: float) -> None:
        """Stop every one."""
        await self.stop(list(self._components), grace_s)

    def runs(self, name: str) -> bool:
        """Whether there is such a component."""
        return name in self._components

    def snapshots(self) -> list[ComponentSnapshot]:
        """Every component as it is now, in the order of their start."""
        return [each.snapshot() for each in self._components.values()]


@types.coroutine
def step_by_step(work: Coroutine[Any, Any, None], stepped: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await ``work``, and call ``stepped`` each time that the event loop takes it up."""
    thrown: BaseException | None = None
    while True:
        try:
            waited_for = work.send(None) if thrown is None else work.throw(thrown)
        except StopIteration:
            return
        finally:
            thrown = None
        try:
            yield waited_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 — not handled here: the component is told
            thrown = error
        stepped()


def _place(error: BaseException | None) -> str:
    """Where something was raised: what makes two failures the same one."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__} {where}"
