"""Every status code that a server sends ends in advice that fits it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from drivers.contract import FailureKind
from drivers.opcua.clocks import difference
from drivers.opcua.options import Options
from drivers.opcua.refusals import Clocks, refused
from drivers.opcua.remedies import remedy

NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)
TABLE = {
    # the connection
    "BadCertificateUntrusted": "trust the certificate of gongfu-edge",
    "BadSecurityChecksFailed": "trust the certificate of gongfu-edge",
    "BadCertificateInvalid": "trust the certificate of gongfu-edge",
    "BadCertificateUriInvalid": "trust the certificate of gongfu-edge",
    "BadCertificateUseNotAllowed": "trust the certificate of gongfu-edge",
    "BadCertificateHostNameInvalid": "trust the certificate of gongfu-edge",
    "BadCertificateRevoked": "trust the certificate of gongfu-edge",
    "BadCertificateRevocationUnknown": "trust the certificate of gongfu-edge",
    "BadCertificateChainIncomplete": "trust the certificate of gongfu-edge",
    "BadCertificatePolicyCheckFailed": "trust the certificate of gongfu-edge",
    "BadApplicationSignatureInvalid": "trust the certificate of gongfu-edge",
    "BadNoValidCertificates": "trust the certificate of gongfu-edge",
    "BadCertificateTimeInvalid": "clock",
    "BadCertificateIssuerTimeInvalid": "clock",
    "BadInvalidTimestamp": "clock",
    "BadIdentityTokenInvalid": "username and password",
    "BadIdentityTokenRejected": "username and password",
    "BadSecurityPolicyRejected": 'security = "auto"',
    "BadSecurityModeRejected": 'security = "auto"',
    "BadSecurityModeInsufficient": 'security = "auto"',
    "BadTooManySessions": "close other clients",
    "BadMaxConnectionsReached": "close other clients",
    "BadTcpNotEnoughResources": "close other clients",
    "BadConnectionRejected": "close other clients",
    "BadTcpEndpointUrlInvalid": "endpoint",
    "BadServerUriInvalid": "endpoint",
    "BadServerHalted": "start the server",
    "BadShutdown": "start the server",
    "BadTcpMessageTypeInvalid": "OPC UA server",
    "BadProtocolVersionUnsupported": "update the server",
    # a request
    "BadServiceUnsupported": "update",
    "BadNotImplemented": "update",
    "BadNotSupported": "update",
    "BadTooManySubscriptions": 'mode = "auto"',
    "BadTooManyMonitoredItems": 'mode = "auto"',
    "BadTooManyPublishRequests": 'mode = "auto"',
    "BadTooManyOperations": "index=",
    "BadRequestTooLarge": "index=",
    "BadResponseTooLarge": "index=",
    "BadTcpMessageTooLarge": "index=",
    "BadEncodingLimitsExceeded": "index=",
    "BadServerTooBusy": "overloaded",
    "BadTcpServerTooBusy": "overloaded",
    "BadTcpInternalError": "overloaded",
    "BadOutOfMemory": "overloaded",
    "BadResourceUnavailable": "overloaded",
    "BadLicenseExpired": "licence",
    "BadLicenseLimitsExceeded": "licence",
    "BadLicenseNotAvailable": "licence",
    "BadSessionIdInvalid": "by itself",
    "BadSessionClosed": "by itself",
    "BadSessionNotActivated": "by itself",
    "BadSecureChannelIdInvalid": "by itself",
    "BadSecureChannelClosed": "by itself",
    "BadSecureChannelTokenUnknown": "by itself",
    "BadTcpSecureChannelUnknown": "by itself",
    "BadSequenceNumberInvalid": "by itself",
    "BadConnectionClosed": "by itself",
    "BadNonceInvalid": "by itself",
    "BadNoSubscription": "by itself",
    "BadSubscriptionIdInvalid": "by itself",
    "BadContinuationPointInvalid": "smaller part",
    "BadNoContinuationPoints": "smaller part",
    "BadDecodingError": "update the server",
    "BadEncodingError": "update the server",
    "BadRequestHeaderInvalid": "update the server",
    "BadInternalError": "log",
    "BadUnexpectedError": "log",
    # a value
    "BadUserAccessDenied": "right to read",
    "BadNotReadable": "right to read",
    "BadNodeIdInvalid": "browse",
    "BadNodeIdUnknown": "browse",
    "BadAttributeIdInvalid": "browse",
    "BadNoMatch": "browse",
    "BadNotFound": "browse",
    "BadObjectDeleted": "browse",
    "BadIndexRangeInvalid": "index=",
    "BadIndexRangeNoData": "index=",
    "BadMonitoredItemFilterUnsupported": "poll",
    "BadFilterNotAllowed": "poll",
    "BadMonitoringModeInvalid": "poll",
    "BadWaitingForInitialData": "wait",
    "BadNoCommunication": "link",
    "BadNotConnected": "link",
    "BadCommunicationError": "link",
    "BadServerNotConnected": "link",
    "BadTimeout": "link",
    "BadRequestTimeout": "link",
    "BadConfigurationError": "configuration",
    "BadDeviceFailure": "machine",
    "BadSensorFailure": "machine",
    "BadOutOfService": "machine",
    "BadInvalidState": "machine",
    "BadNoData": "no value",
    "BadDataUnavailable": "no value",
    "BadNoValue": "no value",
    "BadOutOfRange": "no value",
    "BadTypeMismatch": "data type",
    "BadDataTypeIdUnknown": "data type",
    "BadDataEncodingUnsupported": "data type",
    "Bad": "log",
}
CONNECTING = list(TABLE)[: list(TABLE).index("BadServiceUnsupported")]


def error(name: str) -> BaseException:
    return ua.UaStatusCodeError(getattr(StatusCodes, name))  # type: ignore[no-any-return, no-untyped-call]


@pytest.mark.parametrize(("name", "word"), TABLE.items())
def test_f42_a_status_code_has_a_remedy_that_fits(name: str, word: str) -> None:
    assert word in remedy(getattr(StatusCodes, name) | 0x0480), "flags about the value are no cause"


@pytest.mark.parametrize("name", CONNECTING)
def test_f42_a_refused_connection_has_a_remedy_that_fits(name: str) -> None:
    found = refused(error(name), Options(url="opc.tcp://plc"), Path("/var/keys"), "plc:4840", Clocks(None, NOW))
    assert TABLE[name].partition(" and ")[0] in found.remedy
    assert "plc:4840" in str(found)
    if "trust" in TABLE[name]:
        assert "/var/keys/application.der" in found.remedy
        assert found.kind is FailureKind.PERMANENT


def test_f42_no_status_code_at_all_is_without_a_remedy_or_called_misunderstood() -> None:
    names = [name for name in vars(StatusCodes) if name.startswith("Bad")]
    assert len(names) > 200
    for name in names:
        assert remedy(getattr(StatusCodes, name))
        found = refused(error(name), Options(url="opc.tcp://plc"), None, "plc:4840", Clocks(None, NOW))
        assert found.remedy
        assert "not understood" not in str(found)


@pytest.mark.parametrize(
    ("server", "ours", "expected"),
    [
        (datetime(2010, 1, 1, tzinfo=UTC), NOW, "set the server's clock"),
        (datetime(2010, 1, 1), NOW, "set the server's clock"),
        (NOW, datetime(1970, 1, 1, tzinfo=UTC), "set the gateway's clock"),
        (NOW, datetime(2099, 1, 1, tzinfo=UTC), "set the gateway's clock"),
        (datetime(9999, 12, 31, tzinfo=UTC), NOW, "set the server's clock"),
        (datetime(2026, 12, 1, 9, tzinfo=UTC), NOW, "set the clock that is wrong"),
        (None, NOW, "set the clock that is wrong"),
        (None, datetime(1970, 1, 1, tzinfo=UTC), "set the gateway's clock"),
        (datetime(1601, 1, 1, tzinfo=UTC), NOW, "set the clock that is wrong"),
        (NOW, NOW, "the clocks agree now"),
    ],
)
def test_f40_which_clock_is_to_be_set(server: datetime | None, ours: datetime, expected: str) -> None:
    told, remedy_ = difference(server, ours)
    assert remedy_.startswith(expected)
    assert f"{ours:%Y-%m-%d}" in told
