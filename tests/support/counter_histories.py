"""Counters of which it is known what they counted, and what a gateway reads of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from agent.digest.counters import Follower, Path, Rules

SECOND = 1_000_000


@dataclass
class History:
    """One look a second; None: nothing was read. ``events``: how often it was set anew; ``largest``: step of a look.
    ``unseen``: the longest time without a look, in seconds."""

    looks: list[float | None] = field(default_factory=list)
    counted: int = 0
    largest: int = 0
    events: int = 0
    strays: int = 0
    unseen: int = 0
    scale: float = 1.0
    top: int | None = None

    def truth(self) -> float:
        return self.counted * self.scale

    def tolerance(self) -> float:
        """What may be wrong, stated before any result was seen: nothing for dips and spikes; where a counter was set
        anew, what it may have counted unseen at that moment."""
        return self.events * (8 * self.largest + 3 * self.largest * self.unseen) * self.scale + 1e-9 * abs(self.truth())


@st.composite
def histories(draw: st.DrawFn, *, anew: bool = True, gaps: bool = True, least: int = 0) -> History:
    """``anew``: also resets, rollovers and replaced meters. ``least``: where the register starts, at least."""
    made = History(scale=draw(st.sampled_from([1.0, 0.1, 0.01])))
    top = draw(st.sampled_from([None, None, 65_536, 1_000_000])) if anew else None
    made.top = top
    most = draw(st.integers(1, 6))
    register = draw(st.integers(least, max(least, (top or 2_000_000) - 1)))

    def look(value: int | None) -> None:
        made.looks.append(None if value is None else value * made.scale)

    def count(step: int) -> None:
        nonlocal register
        made.counted += step
        register += step
        if top and register >= top:
            register -= top
            made.events += 1

    def run(length: int) -> None:
        for number in range(length):
            step = draw(st.integers(0, most)) if number % 3 else most
            made.largest = max(made.largest, step)
            count(step)
            look(register)

    look(register)
    run(draw(st.integers(8, 20)))
    kinds = ["dip", "spike", "idle", *(["reset", "replaced"] if anew else []), *(["gap"] if gaps else [])]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=4)):
        if kind in ("dip", "spike"):
            made.strays += 1
            wrong = [0, 65_535, 2**32 - 1, -5, register & 0xFFFF, (register + most) ^ 0x10000]
            far = [each for each in wrong if (each < register / 2 if kind == "dip" else each > 1000 * most + register)]
            stray, length = draw(st.sampled_from(far or [0])), draw(st.integers(1, 12))
            # What is held for so long, and is as likely a reset as a replaced meter, is not told.
            near = length > 9 and 0 < stray < 2**32 - 1 and not anew
            for _ in range(9 if near else length):
                count(draw(st.integers(0, 1)))
                look(stray)
        elif kind == "idle":
            for _ in range(draw(st.integers(1, 40))):
                look(register)
        elif kind == "gap":
            length = draw(st.integers(2, 40))
            made.unseen = max(made.unseen, length)
            for _ in range(length):
                count(draw(st.integers(0, most)))
                look(None)
        else:
            made.events += 1
            register = 0 if kind == "reset" else draw(st.integers(0, 3_000_000))
            register = register % top if top else register
            look(register)
        run(draw(st.integers(6, 20)))
    run(30)
    return made


def follow(made: History, cuts: list[int], rules: Rules | None = None) -> tuple[list[Follower], Path | None]:
    """The periods between ``cuts`` (looks), each with what the one before handed on."""
    rules = rules or Rules(interval=SECOND, tops=(made.top * made.scale,) if made.top else (), declared=bool(made.top))
    path: Path | None = None
    found = []
    for begin, end in pairwise([0, *sorted({each % len(made.looks) for each in cuts} - {0}), len(made.looks)]):
        looks = made.looks[begin:end]
        good = np.array([each is not None for each in looks])
        # A look is known until the next one.
        held = np.cumsum(np.append(0, good)) * SECOND
        follower = Follower(rules, path)
        value = np.array([0.0 if each is None else each for each in looks])
        time = np.arange(begin, end, dtype=np.int64) * SECOND
        follower.add(time[good], value[good], held[:-1][good])
        follower.close(int(held[-1]))
        path = follower.path.handed_on(int(held[-1])) if follower.path else None
        found.append(follower)
    return found, path
