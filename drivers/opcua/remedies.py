"""What a person can do about a bad status code. Pure.

A code means the same wherever it comes from: the refusal of a connection, of a request, or of one value. Where
more is known, such as the file of the gateway's certificate, the caller says it more exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

CLOCKS = "set the clock that is wrong: the server's, or the gateway's (timedatectl, NTP)"
_BY_REMEDY: Mapping[str, tuple[int, ...]] = {
    # BadInvalidTimestamp, BadCertificateTimeInvalid, BadCertificateIssuerTimeInvalid
    CLOCKS: (0x8023, 0x8014, 0x8015),
    # BadCertificateInvalid, BadSecurityChecksFailed, BadCertificateHostNameInvalid, …UriInvalid, …UseNotAllowed,
    # …IssuerUseNotAllowed, …Untrusted, …RevocationUnknown, …IssuerRevocationUnknown, …Revoked, …IssuerRevoked,
    # BadApplicationSignatureInvalid, BadNoValidCertificates, BadCertificateChainIncomplete, …PolicyCheckFailed
    "in the server, trust the certificate of gongfu-edge (application.der)": (
        *(0x8012, 0x8013, 0x8016, 0x8017, 0x8018, 0x8019, 0x801A, 0x801B, 0x801C, 0x801D, 0x801E),
        *(0x8058, 0x8059, 0x810D, 0x8114),
    ),
    # BadIdentityTokenInvalid, BadIdentityTokenRejected, BadIdentityChangeNotSupported, BadUserSignatureInvalid
    "check username and password, and that the server has this user": (0x8020, 0x8021, 0x80C6, 0x8057),
    # BadUserAccessDenied, BadNotReadable, BadRequestNotAllowed, BadLocked, BadRequiresLock, BadNoDeleteRights
    "give this user the right to read the node in the server": (0x801F, 0x803A, 0x80E4, 0x80E9, 0x80EC, 0x8069),
    # BadSecurityPolicyRejected, BadSecurityModeRejected, BadSecurityModeInsufficient
    'write security = "auto", and see which policies the server has switched on': (0x8055, 0x8054, 0x80E6),
    # BadTooManySessions, BadMaxConnectionsReached, BadTcpNotEnoughResources, BadConnectionRejected
    "close other clients, or raise the number of sessions in the server": (0x8056, 0x80B7, 0x8081, 0x80AC),
    # BadTooManySubscriptions, BadTooManyMonitoredItems, BadTooManyPublishRequests
    'write mode = "auto", so that the rest is polled; or raise the limit in the server': (0x8077, 0x80DB, 0x8078),
    # BadOutOfMemory, BadResourceUnavailable, BadServerTooBusy, BadTcpServerTooBusy, BadTcpInternalError
    "the server is overloaded: lengthen the tags' intervals, or close other clients": (
        *(0x8003, 0x8004, 0x80EE, 0x807D, 0x8082),
    ),
    # BadLicenseExpired, BadLicenseLimitsExceeded, BadLicenseNotAvailable
    "see the server's licence": (0x810E, 0x810F, 0x8110),
    # BadServiceUnsupported, BadNotImplemented, BadNotSupported, BadMonitoringModeInvalid, BadMonitoredItemFilter…,
    # BadFilterNotAllowed, BadDeadbandFilterInvalid, BadInsufficientClientProfile, BadTimestampNotSupported
    'the server cannot do this: write mode = "poll", or update it': (
        *(0x800B, 0x8040, 0x803D, 0x8041, 0x8043, 0x8044, 0x8045, 0x808E, 0x807C, 0x80A1),
    ),
    # BadTooManyOperations, BadRequestTooLarge, BadResponseTooLarge, BadTcpMessageTooLarge, BadEncodingLimitsExceeded
    "one value is larger than the server sends (or we take): name a part of it with index=": (
        *(0x8010, 0x80B8, 0x80B9, 0x8080, 0x8008),
    ),
    # BadTcpEndpointUrlInvalid, BadServerUriInvalid, BadServerNameMissing, BadDiscoveryUrlMissing
    "look up the endpoint's address and path in the server, and write it as url": (0x8083, 0x804F, 0x8050, 0x8051),
    # BadServerHalted, BadShutdown
    "start the server, or wait until it has": (0x800E, 0x800C),
    # BadSession…: IdInvalid, Closed, NotActivated; BadSecureChannel…: IdInvalid, Closed, TokenUnknown; BadTcpSecure…;
    # BadSequenceNumberInvalid, BadConnectionClosed, BadNonceInvalid, BadNoSubscription, BadSubscriptionIdInvalid,
    # BadDisconnect
    "it is begun anew by itself; if it recurs, see the server's log": (
        *(0x8025, 0x8026, 0x8027, 0x8022, 0x8086, 0x8087, 0x807F, 0x8088, 0x80AE, 0x8024, 0x8079, 0x8028, 0x80AD),
    ),
    # BadProtocolVersionUnsupported, BadTcpMessageTypeInvalid, BadUnknownResponse, BadRequestHeaderInvalid,
    # BadRequestTypeInvalid, BadDecodingError, BadEncodingError
    "check that url is an OPC UA server's address; if it is, update the server": (
        *(0x80BE, 0x807E, 0x8009, 0x802A, 0x8053, 0x8007, 0x8006),
    ),
    # BadTimeout, BadRequestTimeout, BadWaitingForResponse, BadRequestInterrupted, BadOperationAbandoned
    "check the link between the server and its device; for a slow one raise timeout": (
        *(0x800A, 0x8085, 0x80B2, 0x8084, 0x80B3),
    ),
    # BadCommunicationError, BadServerNotConnected, BadNoCommunication, BadNotConnected, BadDataLost
    "check the link between the server and its device": (0x8005, 0x800D, 0x8031, 0x808A, 0x809D),
    # BadWaitingForInitialData
    "the server has not heard of its device yet: wait, or check the link between them": (0x8032,),
    # BadConfigurationError
    "see the configuration of this node in the server": (0x8089,),
    # BadDeviceFailure, BadSensorFailure
    "see the machine: it reports a failure of a device or a sensor": (0x808B, 0x808C),
    # BadOutOfService, BadInvalidState, BadStateNotActive
    "the source is switched off; see the machine": (0x808D, 0x80AF, 0x80BF),
    # BadIndexRangeInvalid, BadIndexRangeNoData, BadIndexRangeDataMismatch
    "make count (or index=) smaller: the array is shorter": (0x8036, 0x8037, 0x80EA),
    # BadNodeIdInvalid, BadNodeIdUnknown, BadAttributeIdInvalid, BadNotFound, BadObjectDeleted, BadNodeNotInView,
    # BadNodeIdRejected, BadNodeClassInvalid, BadBrowseNameInvalid, BadNoMatch, BadNoEntryExists, BadTooManyMatches
    'see what the server has with "gongfu-edge browse DEVICE"': (
        *(0x8033, 0x8034, 0x8035, 0x803E, 0x803F, 0x804E, 0x805D, 0x805F, 0x8060, 0x806F, 0x80A0, 0x806D),
    ),
    # BadNoData, BadDataUnavailable, BadNoDataAvailable, BadNoValue, BadOutOfRange, BadNumericOverflow
    "the server has no value for this node; see at the machine": (0x809B, 0x809E, 0x80B1, 0x80F0, 0x803C, 0x8112),
    # BadDataTypeIdUnknown, BadDataEncodingInvalid, BadDataEncodingUnsupported, BadStructureMissing, BadTypeMismatch
    "see the node's data type on the server": (0x8011, 0x8038, 0x8039, 0x8046, 0x8074),
    # BadContinuationPointInvalid, BadNoContinuationPoints
    "browse a smaller part: name a place further down": (0x804A, 0x804B),
}
_BY_CODE = {code: text for text, codes in _BY_REMEDY.items() for code in codes}


def remedy(status: int) -> str:
    """What a person can do about a bad status code."""
    return _BY_CODE.get(status >> 16, "see the server's own log at this time")
