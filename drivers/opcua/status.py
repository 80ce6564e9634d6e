"""OPC UA status codes as qualities. Pure.

The upper 16 bits of a status code are severity and cause, the lower 16 flags about the value; see OPC
10000-4, 7.39.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drivers.quality import Quality

Statuses = NDArray[np.uint32]

_BAD, _UNCERTAIN = 0x80000000, 0x40000000
_FLAGS, _FLAGS_OF_A_VALUE, _OVERFLOW = 0x0C00, 0x0400, 0x0080

_CAUSES: Mapping[Quality, tuple[int, ...]] = {
    # BadTimeout, BadRequestTimeout, BadWaitingForResponse
    Quality.TIMEOUT: (0x800A, 0x8085, 0x80B2),
    # BadCommunicationError, BadShutdown, BadServerNotConnected, BadServerHalted, BadNoCommunication,
    # BadNotConnected, BadConnectionRejected, BadDisconnect, BadConnectionClosed, BadSecureChannelClosed,
    # BadSessionIdInvalid, BadSessionClosed, BadSessionNotActivated
    Quality.CONNECTION: (
        *(0x8005, 0x800C, 0x800D, 0x800E, 0x8031, 0x808A, 0x80AC, 0x80AD, 0x80AE, 0x8086),
        *(0x8025, 0x8026, 0x8027),
    ),
    # BadServiceUnsupported, BadTooManyOperations, BadTooManyMonitoredItems, BadRequestTooLarge,
    # BadResponseTooLarge, BadTcpMessageTooLarge, BadUserAccessDenied, the
    # licence's three, BadNotReadable, BadNotSupported, BadNotImplemented, BadSecurityModeInsufficient,
    # BadRequestNotAllowed, BadLocked, BadRequiresLock
    Quality.REFUSED: (
        *(
            0x800B,
            0x8010,
            0x80DB,
            0x80B8,
            0x80B9,
            0x8080,
            0x801F,
            0x810E,
            0x810F,
            0x8110,
            0x803A,
            0x803D,
            0x8040,
            0x80E6,
        ),
        *(0x80E4, 0x80E9, 0x80EC),
    ),
    # BadNodeIdInvalid, BadNodeIdUnknown, BadAttributeIdInvalid, BadIndexRangeInvalid,
    # BadIndexRangeNoData, BadIndexRangeDataMismatch, BadNotFound, BadObjectDeleted, BadNodeNotInView,
    # BadNodeIdRejected, BadNodeClassInvalid, BadBrowseNameInvalid, BadNoMatch, BadNoEntryExists
    Quality.ADDRESS: (
        *(0x8033, 0x8034, 0x8035, 0x8036, 0x8037, 0x80EA, 0x803E, 0x803F, 0x804E, 0x805D, 0x805F),
        *(0x8060, 0x806F, 0x80A0),
    ),
    # BadNoData, BadDataUnavailable, BadNoDataAvailable, BadNoValue, BadOutOfRange, BadNumericOverflow
    Quality.INVALID: (0x809B, 0x809E, 0x80B1, 0x80F0, 0x803C, 0x8112),
    # BadEncodingError, BadDecodingError, BadEncodingLimitsExceeded, BadDataTypeIdUnknown,
    # BadDataEncodingInvalid, BadDataEncodingUnsupported, BadStructureMissing, BadTypeMismatch
    Quality.DECODE: (0x8006, 0x8007, 0x8008, 0x8011, 0x8038, 0x8039, 0x8046, 0x8074),
    # BadWaitingForInitialData, BadConfigurationError, BadDeviceFailure, BadSensorFailure,
    # BadOutOfService, BadInternalError, BadOutOfMemory, BadResourceUnavailable, BadServerTooBusy,
    # BadInvalidState
    Quality.DEVICE: (0x8032, 0x8089, 0x808B, 0x808C, 0x808D, 0x8002, 0x8003, 0x8004, 0x80EE, 0x80AF),
}
_BY_CODE = {code: quality for quality, codes in _CAUSES.items() for code in codes}


def quality(status: int) -> Quality:
    """The quality of a value that has this status code."""
    # The reserved fourth severity is bad, too, as OPC 10000-4 asks for.
    if status & _BAD:
        return _BY_CODE.get(status >> 16, Quality.BAD)
    return Quality.UNCERTAIN if status & _UNCERTAIN else Quality.GOOD


def qualities(status: Statuses) -> NDArray[np.uint8]:
    """The quality of each of many status codes."""
    if not status.any():
        return np.zeros(len(status), np.uint8)
    codes, where = np.unique(status, return_inverse=True)
    return np.array([quality(int(code)) for code in codes], np.uint8)[where]


def overflowed(status: Statuses) -> NDArray[np.bool_]:
    """Where the server's queue was too short, so that values before (or after) this one are lost."""
    lost: NDArray[np.bool_] = status & np.uint32(_FLAGS | _OVERFLOW) == _FLAGS_OF_A_VALUE | _OVERFLOW
    return lost
