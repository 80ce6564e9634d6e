"""What holds for every test: nothing is left running, and a property test is the same on every machine."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# `tests.support` and `scripts.sandbox` are found here, but behind whatever is installed: when a wheel of
# the product is installed, that is what is tested.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

settings.register_profile("ci", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("search", derandomize=False, database=None, deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

OPTIONAL = {
    "soak": "runs for hours: ./scripts/test --soak",
    "systemd": "boots a Debian with systemd, needs root and debootstrap: ./scripts/test --systemd",
}
_LOOP_TURNS = 20
"""A task that was cancelled, or whose work is done, gets this many turns of the loop to end."""
_threads = pytest.StashKey[set[threading.Thread]]()
_left = pytest.StashKey[set[threading.Thread]]()
_status = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # The interpreter waits for every thread, and for that of a store which a failed test left open for ever.
    if any(thread.is_alive() for thread in config.stash.get(_left, ())):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(_status, 1))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_status] = int(exitstatus)


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, what in OPTIONAL.items():
        parser.addoption(f"--{name}", action="store_true", help=what)


def pytest_configure(config: pytest.Config) -> None:
    for name, what in OPTIONAL.items():
        config.addinivalue_line("markers", f"{name}: {what}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name, what in OPTIONAL.items():
            if item.get_closest_marker(name) and not config.getoption(f"--{name}"):
                item.add_marker(pytest.mark.skip(reason=what))
        if isinstance(item, pytest.Function) and _is_async(item):
            # First in, last out: what a test's other fixtures keep running is stopped before it looks.
            item.fixturenames.insert(0, "no_task_left")


def _is_async(item: pytest.Function) -> bool:
    function = item.function
    # A property test is a plain function around the coroutine function.
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", None)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner)


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail an async test that leaves a task running behind; added to every one."""
    before = asyncio.all_tasks()
    yield
    for _ in range(_LOOP_TURNS):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0)
    names = ", ".join(sorted(f"{task.get_name()} ({_where(task)})" for task in left))
    pytest.fail(f"the test left {len(left)} task(s) running: {names}", pytrace=False)


def _where(task: asyncio.Task[object]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", repr(coroutine))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[_threads] = set(threading.enumerate())
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    result = yield
    # A thread that is no daemon would keep the agent's process from ending.
    left = [thread for thread in set(threading.enumerate()) - item.stash[_threads] if not thread.daemon]
    for thread in left:
        thread.join(1.0)
    item.config.stash.setdefault(_left, set()).update(left)
    names = ", ".join(sorted(thread.name for thread in left if thread.is_alive()))
    if names and nextitem is not None and nextitem.module is item.module:
        return result  # a fixture of the module or the session may hold it until its end
    if names:
        pytest.fail(f"threads left running: {names}", pytrace=False)
    return result
