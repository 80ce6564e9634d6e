"""Where the plant's values lie in its units' registers; the tables are in the package's docstring. Pure."""

from __future__ import annotations

import math

from scripts.sandbox.plant.compressor import Compressor
from scripts.sandbox.plant.press import SERIAL, Alarm, Press, State
from scripts.sandbox.plant.registers import DISCRETE, HOLDING, INPUT, Registers

ENERGY_AT_START_KWH = 48_210.5
POWER_FACTOR = 0.87


def put_press(to: Registers, press: Press) -> None:
    """Unit 1."""
    to.word(HOLDING, 0, press.state)
    to.word(HOLDING, 1, press.alarms)
    to.uint32(HOLDING, 2, press.total)
    to.uint32(HOLDING, 4, press.good)
    to.uint32(HOLDING, 6, press.scrap)
    to.word(HOLDING, 8, press.strokes)
    to.word(HOLDING, 9, round(press.pressure * 10))
    to.float32(HOLDING, 10, press.oil_temp, "CDAB")
    to.float32(HOLDING, 12, press.spm)
    to.text(HOLDING, 20, SERIAL, 16)
    to.bit(DISCRETE, 0, press.state is State.EXECUTING)
    to.bit(DISCRETE, 1, press.state is State.FAULT)
    to.bit(DISCRETE, 2, not press.alarms & 1 << Alarm.GUARD_OPEN)


def put_meter(to: Registers, press: Press) -> None:
    """Unit 2: what the press draws, as a DTSU666 shows it."""
    to.word(HOLDING, 0x0006, 1)
    to.word(HOLDING, 0x0007, 10)
    for phase in range(3):
        voltage = 230.0 + 1.5 * math.sin(press.now / 17 + 2 * math.pi * phase / 3)
        watts = press.power / 3
        to.float32(HOLDING, 0x2000 + 2 * phase, voltage * math.sqrt(3) * 10)
        to.float32(HOLDING, 0x2006 + 2 * phase, voltage * 10)
        to.float32(HOLDING, 0x200C + 2 * phase, watts / voltage / POWER_FACTOR * 1000)
        to.float32(HOLDING, 0x2014 + 2 * phase, watts * 10)
    to.float32(HOLDING, 0x2012, press.power * 10)
    to.float32(HOLDING, 0x202A, POWER_FACTOR * 1000)
    to.float32(HOLDING, 0x2044, (50 + 0.02 * math.sin(press.now / 31)) * 100)
    to.float32(HOLDING, 0x101E, energy_kwh(press))
    to.float32(HOLDING, 0x1028, 0.0)


def put_compressor(to: Registers, compressor: Compressor) -> None:
    """Unit 3."""
    to.word(INPUT, 0, round(compressor.pressure * 100))
    to.word(INPUT, 1, round(compressor.temperature * 10))
    to.word(INPUT, 2, round(compressor.load))
    to.word(INPUT, 3, 2 if compressor.loaded else 1)
    to.uint32(INPUT, 4, int(compressor.running_s), "CDAB")
    to.uint32(INPUT, 6, int(compressor.loaded_s), "CDAB")


def energy_kwh(press: Press) -> float:
    """The meter's reading: what the press has drawn, on top of what it had when the plant was started."""
    return ENERGY_AT_START_KWH + press.energy / 3.6e6
