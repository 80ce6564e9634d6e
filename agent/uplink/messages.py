"""What a platform may answer, as types: a body is one of these, or it is nothing. Figures: :mod:`agent.core.bounds`."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.core.bounds import (
    MAX_ADMINS,
    MAX_BODY,
    MAX_SMALL_BODY,
    Contract,
    GatewayId,
    Hash,
    Name,
    Seq,
    SeqOrNone,
    Signature,
)


class Receipt(msgspec.Struct, frozen=True):
    """What is stored. A platform that leaves a member out has not proven it."""

    seq: Seq | UnsetType = UNSET
    hash: Hash | UnsetType = UNSET


class HeadAnswer(msgspec.Struct, frozen=True):
    """The newest digest of a chain. What it says of kind and times is not read: the signature holds the same."""

    seq: SeqOrNone
    hash: Hash | None
    signature: Signature = ""
    contract: Contract = ""


class AdminKeys(msgspec.Struct, frozen=True, omit_defaults=True):
    """Administrators, as JWKS; each key is judged where it is used."""

    keys: Annotated[list[dict[str, Any]], Meta(max_length=MAX_ADMINS)]
    threshold: Annotated[int, Meta(ge=1, le=MAX_ADMINS)] = 1


class Enrolled(msgspec.Struct, frozen=True):
    """The identity that a platform gives."""

    gateway_id: GatewayId
    admins: AdminKeys
    enterprise: Name = ""
    contract: Contract = ""


MAX_BYTES: dict[type[msgspec.Struct], int] = {
    Receipt: MAX_SMALL_BODY,
    HeadAnswer: MAX_SMALL_BODY,
    Enrolled: MAX_BODY,
}
"""Of a whole body."""

M = TypeVar("M", bound=msgspec.Struct)


def read(body: bytes, message: type[M]) -> M | None:
    """The message that a body is; None: it is none, or not within the bounds."""
    if len(body) > MAX_BYTES[message]:
        return None
    try:
        return msgspec.json.decode(body, type=message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
