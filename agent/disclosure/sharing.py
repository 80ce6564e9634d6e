"""Which aggregates may leave the plant: decided here and nowhere else. Pure.

The configuration's check refuses what this refuses, so that the engineer hears of it early; this is
the enforcement. It is asked twice: when a period's tags are chosen, and again, with the number of
good scans, when each tag's line is written (:mod:`agent.digest.tags`).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.config.model import FileSection, TagKind

MINIMUM_SCANS = 3
"""Fewer good scans than this are readings, not an aggregate."""

INSUFFICIENT = "insufficient_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tag that asks to leave. ``name`` is its full name, with the element of an array."""

    name: str
    kind: TagKind
    sensitivity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the local file allows."""

    share: frozenset[str]
    enterprise_authorised: bool


def policy_of(file: FileSection) -> Policy:
    """The policy as ``[digest] share`` and ``[enterprise] enterprise_authorised`` state it."""
    return Policy(share=frozenset(file.digest.share), enterprise_authorised=file.enterprise.enterprise_authorised)


def refusal(tag: Candidate, policy: Policy, good_scans: int | None = None) -> str | None:
    """Why the tag's aggregates may not leave, or None where they may.

    ``good_scans``: how many they rest on; None while that is not known yet. With
    :data:`INSUFFICIENT` the tag itself may be named, its values may not. An array's name stands for
    its elements.
    """
    if tag.name not in policy.share and tag.name.partition("[")[0] not in policy.share:
        return "not in [digest] share"
    if tag.kind == "text":
        return "text never leaves the plant"
    if tag.sensitivity == 2 and not policy.enterprise_authorised:
        return "sensitivity 2 needs enterprise_authorised = true"
    if tag.sensitivity not in (1, 2):
        return f"sensitivity {tag.sensitivity} never leaves the plant"
    if good_scans is not None and good_scans < MINIMUM_SCANS:
        return INSUFFICIENT
    return None


def input_refusal(sensitivity: int, policy: Policy) -> str:
    """Why nothing that is measured with a tag may leave the plant; empty where it may.

    A machine's sums are not the tag's aggregates, so the tag need not be in ``share``; but what is secret in
    itself makes no public sum.
    """
    if sensitivity == 2 and not policy.enterprise_authorised:
        return "sensitivity 2 needs enterprise_authorised = true"
    if sensitivity not in (1, 2):
        return f"sensitivity {sensitivity} never leaves the plant"
    return ""
