"""Status codes as qualities."""

from __future__ import annotations

import numpy as np
import pytest
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua.status import overflowed, qualities, quality
from drivers.quality import Quality


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Good", Quality.GOOD),
        ("GoodLocalOverride", Quality.GOOD),
        ("GoodClamped", Quality.GOOD),
        ("Uncertain", Quality.UNCERTAIN),
        ("UncertainLastUsableValue", Quality.UNCERTAIN),
        ("UncertainSimulatedValue", Quality.UNCERTAIN),
        ("Bad", Quality.BAD),
        ("BadUnexpectedError", Quality.BAD),
        ("BadTimeout", Quality.TIMEOUT),
        ("BadRequestTimeout", Quality.TIMEOUT),
        ("BadNoCommunication", Quality.CONNECTION),
        ("BadNotConnected", Quality.CONNECTION),
        ("BadSessionClosed", Quality.CONNECTION),
        ("BadServerHalted", Quality.CONNECTION),
        ("BadUserAccessDenied", Quality.REFUSED),
        ("BadNotReadable", Quality.REFUSED),
        ("BadLicenseLimitsExceeded", Quality.REFUSED),
        ("BadNodeIdUnknown", Quality.ADDRESS),
        ("BadNodeIdInvalid", Quality.ADDRESS),
        ("BadAttributeIdInvalid", Quality.ADDRESS),
        ("BadIndexRangeNoData", Quality.ADDRESS),
        ("BadNoMatch", Quality.ADDRESS),
        ("BadNoData", Quality.INVALID),
        ("BadOutOfRange", Quality.INVALID),
        ("BadTypeMismatch", Quality.DECODE),
        ("BadDecodingError", Quality.DECODE),
        ("BadDeviceFailure", Quality.DEVICE),
        ("BadSensorFailure", Quality.DEVICE),
        ("BadOutOfService", Quality.DEVICE),
        ("BadWaitingForInitialData", Quality.DEVICE),
    ],
)
def test_a_status_has_the_quality_of_its_cause(name: str, expected: Quality) -> None:
    code = getattr(StatusCodes, name)
    assert quality(code) == expected
    assert quality(code | 0x0481) == expected, "flags about the value are no cause"


def test_every_known_status_keeps_its_severity() -> None:
    names = [name for name in vars(StatusCodes) if name.startswith(("Good", "Uncertain", "Bad"))]
    assert len(names) > 200
    for name in names:
        level = quality(getattr(StatusCodes, name)).level
        assert name.lower().startswith(level), name


@given(st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([0, 0x80340000, 0x40000000, 0x480])))
def test_many_at_once_are_as_one_by_one(codes: list[int]) -> None:
    array = np.array(codes, np.uint32)
    assert qualities(array).tolist() == [quality(code) for code in codes]
    assert overflowed(array).tolist() == [code & 0xC80 == 0x480 for code in codes]


def test_reserved_severity_is_bad() -> None:
    assert quality(0xC0000000).level == "bad"
