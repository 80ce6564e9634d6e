"""What the platform keeps of prescriptions: as they were signed, and what gateways' digests told of them last."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

MOST_TOLD = 200
"""Lines of one gateway that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrescription:
    """One revision; ``posted`` in UTC seconds. ``signers``: how many administrators signed it."""

    gateway: str
    id: str
    revision: int
    hash: str
    signers: int
    posted: float
    body: bytes


@dataclass(frozen=True, slots=True)
class ToldPrescription:
    """The newest line (JSON) that a digest told of a prescription."""

    id: str
    hash: str
    seq: int
    line: str


_COLUMNS = "gateway, id, revision, hash, signers, posted, body"


class PrescriptionStore:
    """Queries; the transaction is the caller's."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put(self, each: StoredPrescription) -> None:
        """Keep a revision, or the same one with other signatures."""
        values = (each.gateway, each.id, each.revision, each.hash, each.signers, each.posted, each.body)
        self._db.execute(f"INSERT OR REPLACE INTO prescriptions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def of(self, gateway: str) -> list[StoredPrescription]:
        """Every revision for a gateway; by id, the highest revision first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM prescriptions WHERE gateway = ? ORDER BY id, revision DESC", (gateway,)
        ).fetchall()
        return [StoredPrescription(**dict(zip(_COLUMNS.split(", "), row, strict=True))) for row in rows]

    def note_told(self, gateway: str, told: ToldPrescription) -> None:
        """Remember what a digest says, unless a later one has spoken; the oldest lines are forgotten."""
        self._db.execute(
            "INSERT INTO prescribed VALUES (?, ?, ?, ?, ?) ON CONFLICT (gateway, id, hash) DO UPDATE SET"
            " seq = excluded.seq, line = excluded.line WHERE excluded.seq >= seq",
            (gateway, told.id, told.hash, told.seq, told.line),
        )
        self._db.execute(
            "DELETE FROM prescribed WHERE gateway = ?1 AND rowid NOT IN"
            " (SELECT rowid FROM prescribed WHERE gateway = ?1 ORDER BY seq DESC LIMIT ?2)",
            (gateway, MOST_TOLD),
        )

    def told(self, gateway: str) -> list[ToldPrescription]:
        """The newest line of each, newest first."""
        rows = self._db.execute(
            "SELECT id, hash, seq, line FROM prescribed WHERE gateway = ? ORDER BY seq DESC, id", (gateway,)
        ).fetchall()
        return [ToldPrescription(*row) for row in rows]
