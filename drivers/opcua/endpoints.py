"""Endpoints as a server describes them: which are allowed, which is the best, whom they let in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asyncua import ua

from drivers.contract import DriverError, FailureKind
from drivers.opcua.options import BROKEN_POLICIES, POLICIES, Security
from drivers.quality import Quality

POLICY = "http://opcfoundation.org/UA/SecurityPolicy#"
UNSECURED = f"{POLICY}None"
_BINARY = "uatcp-uasc-uabinary"
_TOKENS = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name",
    ua.UserTokenType.Certificate: "certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}


def choose(
    endpoints: Iterable[ua.EndpointDescription], wanted: Security, who: ua.UserTokenType, place: str
) -> ua.EndpointDescription:
    """The best endpoint that the configuration allows and the user may use; raises DriverError."""
    usable = [each for each in endpoints if _BINARY in (each.TransportProfileUri or _BINARY)]
    ranked = sorted(
        (each for each in usable if rank(each, wanted) is not None), key=lambda each: rank(each, wanted) or 0
    )
    for each in ranked:
        if lets_in(each, who):
            return each
    if ranked:
        tokens = {_TOKENS.get(token.TokenType, "?") for each in ranked for token in each.UserIdentityTokens or ()}
        message = f"{place} lets nobody in by {_TOKENS[who]}, only by: {', '.join(sorted(tokens)) or 'nothing'}"
        remedy = (
            'give username and password = { file = "…" }' if "user name" in tokens else "change the user in the server"
        )
        raise _permanent(message, remedy, Quality.REFUSED)
    raise _not_offered(sorted({show(each) for each in usable}), wanted, place)


def lets_in(endpoint: ua.EndpointDescription, who: ua.UserTokenType) -> bool:
    """Whether a kind of user may enter here."""
    return any(token.TokenType == who for token in endpoint.UserIdentityTokens or ())


def encrypts_passwords(endpoint: ua.EndpointDescription) -> bool:
    """Whether a password can be sent encrypted over this endpoint without security."""
    uris = [token.SecurityPolicyUri for token in endpoint.UserIdentityTokens or () if _is_user_name(token)]
    return any(uri and uri != UNSECURED for uri in uris)


def _is_user_name(token: ua.UserTokenPolicy) -> bool:
    return bool(token.TokenType == ua.UserTokenType.UserName)


def _not_offered(offered: Sequence[str], wanted: Security, place: str) -> DriverError:
    sound = [each for each in offered if each.partition(":")[0] in POLICIES]
    if wanted.none:
        message = f"{place} offers no connection without security, only: {', '.join(offered) or 'nothing'}"
        return _permanent(message, 'write security = "auto"')
    if wanted == Security.parse("auto"):
        if offered == ["None"]:
            message = f"{place} offers no security at all"
            remedy = 'switch it on in the server; or write security = "none" if values may travel readable and unsigned'
            return _permanent(message, remedy)
        message = f"{place} offers nothing that is secure, only: {', '.join(offered) or 'nothing'}"
        broken = any(each.partition(":")[0] in BROKEN_POLICIES for each in offered)
        remedy = f"switch on {POLICIES[-1]} or newer in the server"
        return _permanent(message, remedy + ('; or write security = "none" if that is meant' if not broken else ""))
    asked = f"{wanted.policies[0]}" + (f":{wanted.modes[0]}" if len(wanted.modes) == 1 else "")
    message = f"{place} does not offer {asked}, only: {', '.join(offered) or 'nothing'}"
    return _permanent(
        message, f'write security = "{sound[0]}" or "auto"' if sound else f"switch on {asked} in the server"
    )


def rank(endpoint: ua.EndpointDescription, wanted: Security) -> int | None:
    """0 is best; None: not allowed. An encrypted channel goes before the newer policy."""
    policy, mode = name_of(endpoint), mode_of(endpoint)
    if wanted.none:
        return 0 if policy == "None" and endpoint.SecurityMode == ua.MessageSecurityMode.None_ else None
    if policy not in wanted.policies or mode not in wanted.modes:
        return None
    return wanted.modes.index(mode) * len(POLICIES) + wanted.policies.index(policy)


def name_of(endpoint: ua.EndpointDescription) -> str:
    """The security policy's name."""
    return str(endpoint.SecurityPolicyUri or UNSECURED).rpartition("#")[2][:80]


def mode_of(endpoint: ua.EndpointDescription) -> str:
    """The security mode's name."""
    return str(getattr(endpoint.SecurityMode, "name", endpoint.SecurityMode))


def show(endpoint: ua.EndpointDescription) -> str:
    """Policy and mode, for people."""
    policy = name_of(endpoint)
    shown = policy if policy == "None" else f"{policy}:{mode_of(endpoint)}"
    return shown if shown.isprintable() else ascii(shown)


def _permanent(message: str, remedy: str, quality: Quality = Quality.CONNECTION) -> DriverError:
    return DriverError(message, kind=FailureKind.PERMANENT, quality=quality, remedy=remedy)
