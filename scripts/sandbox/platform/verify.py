"""Proves the stored chains from the stored bytes alone, as an auditor would."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from scripts.sandbox.platform import jose
from scripts.sandbox.platform.intake import GENESIS
from scripts.sandbox.platform.problems import Problem
from scripts.sandbox.platform.store import Gateway, Store, StoredDigest


@dataclass(frozen=True, slots=True)
class ChainReport:
    """A chain after verification. ``failures`` holds one line for each fault; empty: all is proven."""

    gateway: str
    stream: str
    digests: int
    verified: int
    rejected: int
    head_seq: int
    head_hash: str
    failures: tuple[str, ...]
    failed: frozenset[int] = frozenset()
    """Numbers of the digests that failed."""

    @property
    def ok(self) -> bool:
        """Nothing is missing and nothing was altered."""
        return not self.failures

    def line(self) -> str:
        """One line for a person."""
        name = f"{self.gateway}/{self.stream}" if self.stream else self.gateway
        counts = f"{self.digests} digests, {self.verified} verified, {self.rejected} rejected, head {self.head_seq}"
        return f"{name}: {counts}: {'ok' if self.ok else 'FAILED: ' + '; '.join(self.failures)}"

    def body(self) -> dict[str, Any]:
        """As the sandbox's JSON shows it."""
        return {
            "id": self.gateway,
            "stream": self.stream,
            "digests": self.digests,
            "verified": self.verified,
            "rejected": self.rejected,
            "head": {"seq": self.head_seq, "hash": self.head_hash if self.head_seq else None},
            "ok": self.ok,
            "failures": list(self.failures),
        }


def verify_all(store: Store) -> list[ChainReport]:
    """Every chain of every gateway."""
    return [
        verify_chain(store, gateway, stream)
        for gateway in store.gateways()
        for stream in store.streams(gateway.id) or [""]
    ]


def verify_chain(store: Store, gateway: Gateway, stream: str) -> ChainReport:
    """Check numbering, links, hashes and signatures of one chain. A tombstone has only number and link."""
    key = jose.import_public_key(json.loads(gateway.public_key))
    failures: list[str] = []
    failed: set[int] = set()
    digests = verified = rejected = 0
    seq, previous = 0, GENESIS
    for digest in store.chain(gateway.id, stream):
        faults = _link_faults(digest, seq, previous)
        if digest.state == "rejected":
            rejected += 1
        else:
            faults += _content_faults(digest, key)
            verified += not faults
        if faults:
            failed.add(digest.seq)
        failures += [f"digest {digest.seq}: {fault}" for fault in faults]
        digests += 1
        seq, previous = digest.seq, digest.hash
    return ChainReport(
        gateway.id, stream, digests, verified, rejected, seq, previous, tuple(failures), frozenset(failed)
    )


def _link_faults(digest: StoredDigest, seq: int, previous: str) -> list[str]:
    faults = []
    if digest.seq != seq + 1:
        faults.append(f"follows {seq}")
    if digest.previous != previous:
        faults.append("does not hold the hash of the one before it")
    return faults


def _content_faults(digest: StoredDigest, key: Any) -> list[str]:
    faults = []
    if hashlib.sha256(digest.body).hexdigest() != digest.hash:
        faults.append("the bytes do not have the noted hash")
    try:
        jose.check_detached(digest.jws, digest.body, key)
    except Problem as error:
        faults.append(error.detail)
    try:
        header = json.loads(digest.body)["header"]
        if (header["seq"], header["previous"]) != (digest.seq, digest.previous):
            faults.append("the bytes hold another number or link")
    except (ValueError, KeyError, TypeError, RecursionError):
        faults.append("the bytes hold no header")
    return faults
