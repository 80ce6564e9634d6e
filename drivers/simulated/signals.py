"""What a simulated address means: ``kind:argument,argument,…``. Pure.

================================  ==================================================================
``constant:7``                    always 7
``sine:amplitude,mean,period``    ``sine:10,50,60`` swings between 40 and 60 once in 60 s
``ramp:from,to,period``           rises from … to … and starts again; ``ramp`` is ``ramp:0,100,60``
``square:low,high,period``        half the period low, then high
``counter:rate``                  events since 1970 at so many a second; ``counter:2,65536`` rolls over
``state:0,1,2@10``                each value for 10 s, in turn
``noise:mean,spread``             uniform in mean ± spread, different at each microsecond and point
``clock``                         seconds since 1970: a value that tells when it was read
``text:abc``                      the text ``abc``
``bad:timeout``                   no value, with that cause (a name of :class:`~drivers.quality.Quality`)
================================  ==================================================================

All are functions of UTC, so two readers at the same microsecond get the same value. Element *n* of an
array reads the signal as it is *n* seconds later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from drivers.quality import Quality, level

Floats = NDArray[np.float64]


class AddressError(ValueError):
    """An address that means nothing; ``remedy`` shows what to write."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Signal:
    """A parsed address. ``arguments`` are complete (defaults filled in); ``text`` for ``text`` only."""

    kind: str
    arguments: tuple[float, ...] = ()
    text: str = ""


Function = Callable[[Floats, NDArray[np.int64], Floats], Floats]
"""(arguments: float64 [points, arguments], time_us: int64 [points], seconds: float64 [points]) → float64."""


def _constant(args: Floats, _us: NDArray[np.int64], _s: Floats) -> Floats:
    return args[:, 0]


def _sine(args: Floats, _us: NDArray[np.int64], s: Floats) -> Floats:
    return np.asarray(args[:, 1] + args[:, 0] * np.sin(2 * math.pi * (s / args[:, 2] % 1)), np.float64)


def _ramp(args: Floats, _us: NDArray[np.int64], s: Floats) -> Floats:
    return np.asarray(args[:, 0] + (args[:, 1] - args[:, 0]) * (s / args[:, 2] % 1), np.float64)


def _square(args: Floats, _us: NDArray[np.int64], s: Floats) -> Floats:
    return np.where(s / args[:, 2] % 1 < 0.5, args[:, 0], args[:, 1])


def _counter(args: Floats, _us: NDArray[np.int64], s: Floats) -> Floats:
    return np.asarray(np.floor(s * args[:, 0]) % args[:, 1], np.float64)


def _clock(_args: Floats, _us: NDArray[np.int64], s: Floats) -> Floats:
    return s


def _noise(args: Floats, us: NDArray[np.int64], _s: Floats) -> Floats:
    # splitmix64 of the time and the point: random to look at, and the same for the same microsecond.
    with np.errstate(over="ignore"):
        x = us.astype(np.uint64) + args[:, 2].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    unit = (x >> np.uint64(11)).astype(np.float64) / 2**53
    return np.asarray(args[:, 0] + args[:, 1] * (2 * unit - 1), np.float64)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of signal that is computed for many points at once; periods must not be 0."""

    function: Function
    defaults: tuple[float, ...]
    required: int = 0
    positive: tuple[int, ...] = ()
    """Positions of the arguments that must be greater than 0."""


NUMERIC: Mapping[str, Kind] = {
    "constant": Kind(_constant, (0.0,), required=1),
    "sine": Kind(_sine, (1.0, 0.0, 60.0), positive=(2,)),
    "ramp": Kind(_ramp, (0.0, 100.0, 60.0), positive=(2,)),
    "square": Kind(_square, (0.0, 1.0, 60.0), positive=(2,)),
    "counter": Kind(_counter, (1.0, 2.0**32), positive=(1,)),
    "noise": Kind(_noise, (0.0, 1.0)),
    "clock": Kind(_clock, ()),
}
KINDS = (*NUMERIC, "state", "text", "bad")


def parse(address: str) -> Signal:
    """Parse an address; raises :class:`AddressError`."""
    kind, _, rest = address.partition(":")
    if kind == "text":
        return Signal(kind, text=rest)
    if kind == "bad":
        return Signal(kind, (float(_bad_quality(rest)),))
    if kind == "state":
        return _parse_state(rest)
    if kind not in NUMERIC:
        near = get_close_matches(kind, KINDS, 1)
        remedy = f'did you mean "{near[0]}"?' if near else f"one of {', '.join(KINDS)}"
        raise AddressError(f'unknown signal "{kind}"', remedy)
    return Signal(kind, _arguments(kind, rest, NUMERIC[kind]))


def _arguments(name: str, rest: str, kind: Kind) -> tuple[float, ...]:
    given = _numbers(rest.split(",") if rest else [], f"{name}:{rest}")
    if not kind.required <= len(given) <= len(kind.defaults):
        example = ",".join(f"{value:g}" for value in kind.defaults)
        raise AddressError(f'"{name}" takes {len(kind.defaults)} numbers at most', f'such as "{name}:{example}"')
    arguments = (*given, *kind.defaults[len(given) :])
    for position in kind.positive:
        if arguments[position] <= 0:
            raise AddressError(f"number {position + 1} of {name} must be greater than 0", "write another")
    return arguments


def _parse_state(rest: str) -> Signal:
    values, _, hold = rest.partition("@")
    states = _numbers(values.split(",") if values else ["0", "1"], f"state:{rest}")
    (seconds,) = _numbers([hold or "10"], f"state:{rest}")
    if seconds <= 0:
        raise AddressError("a state must last longer than 0 s", 'such as "state:0,1,2@10"')
    return Signal("state", (seconds, *states))


def _numbers(texts: Sequence[str], address: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        raise AddressError(f'"{address}" holds something that is not a number', 'such as "sine:10,50,60"') from None
    if not all(math.isfinite(number) for number in numbers):
        raise AddressError(f'"{address}" holds a number that is not finite', 'such as "sine:10,50,60"')
    return numbers


def _bad_quality(name: str) -> Quality:
    bad = [quality for quality in Quality if level(quality) == "bad"]
    for quality in bad:
        if quality.name.lower() == (name or "bad"):
            return quality
    raise AddressError(f'"{name}" is no cause', f"one of {', '.join(each.name.lower() for each in bad)}")


def state(signal: Signal, second: float) -> float:
    """The value of a ``state`` signal at a UTC second."""
    hold, *values = signal.arguments
    return values[int(second // hold) % len(values)]
