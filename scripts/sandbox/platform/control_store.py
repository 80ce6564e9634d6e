"""What the platform keeps of remote configuration: bundles, to whom they are offered, what became of them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

KEPT_REPORTS = 200
"""States of one gateway's configuration that are remembered."""
KEPT_AUDIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A bundle as it was handed in; times are UTC seconds. ``signers``: how many administrators signed it."""

    hash: str
    etag: str
    revision: int
    signers: int
    posted: float
    changed: float
    """When a signature was added last."""
    for_all: bool
    """Whether it is offered to all that it addresses."""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a gateway said of its configuration, at the moment when that was new."""

    gateway: str
    at: float
    state: str
    running_revision: int
    attempted_revision: int
    running_hash: str
    attempted_hash: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, and to what."""

    at: float
    actor: str
    action: str
    subject: str
    detail: str


_BUNDLE = "hash, etag, revision, signers, posted, changed, for_all, body"
_REPORT = "gateway, at, state, running_revision, attempted_revision, running_hash, attempted_hash, last_error"
_AUDIT = "at, actor, action, subject, detail"


class ControlStore:
    """Queries; the transaction is the caller's."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put_bundle(self, bundle: StoredBundle) -> None:
        """Keep a bundle, or the same payload with other signatures."""
        values = (
            bundle.hash, bundle.etag, bundle.revision, bundle.signers, bundle.posted, bundle.changed,
            int(bundle.for_all), bundle.body,
        )  # fmt: skip
        self._db.execute(f"INSERT OR REPLACE INTO bundles ({_BUNDLE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def bundles(self) -> list[StoredBundle]:
        """Every bundle, the highest revision first."""
        rows = self._db.execute(f"SELECT {_BUNDLE} FROM bundles ORDER BY revision DESC, posted DESC").fetchall()
        return [_bundle(row) for row in rows]

    def bundle(self, hash_: str) -> StoredBundle | None:
        """The bundle with this payload."""
        row = self._db.execute(f"SELECT {_BUNDLE} FROM bundles WHERE hash = ?", (hash_,)).fetchone()
        return _bundle(row) if row else None

    def offer(self, hash_: str, gateways: list[str]) -> None:
        """Offer a bundle to these gateways too."""
        rows = [(hash_, gateway) for gateway in gateways]
        self._db.executemany("INSERT INTO offers VALUES (?, ?) ON CONFLICT DO NOTHING", rows)

    def offer_to_all(self, hash_: str) -> None:
        """Offer a bundle to whomever it addresses."""
        self._db.execute("UPDATE bundles SET for_all = 1 WHERE hash = ?", (hash_,))

    def offered(self) -> set[tuple[str, str]]:
        """(bundle, gateway) of every offer to a single gateway."""
        return set(self._db.execute("SELECT bundle, gateway FROM offers").fetchall())

    def add_report(self, report: Report) -> None:
        """Remember a state, if it is another than the last; forget the oldest of the gateway."""
        last = next(iter(self.reports(report.gateway, 1)), None)
        if last is not None and _said(last) == _said(report):
            return
        self._db.execute(f"INSERT INTO reports ({_REPORT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (
            report.gateway, report.at, report.state, report.running_revision, report.attempted_revision,
            report.running_hash, report.attempted_hash, report.last_error,
        ))  # fmt: skip
        self._db.execute(
            "DELETE FROM reports WHERE gateway = ?1 AND rowid NOT IN"
            " (SELECT rowid FROM reports WHERE gateway = ?1 ORDER BY rowid DESC LIMIT ?2)",
            (report.gateway, KEPT_REPORTS),
        )

    def reports(self, gateway: str, limit: int = KEPT_REPORTS) -> list[Report]:
        """A gateway's states, newest first."""
        rows = self._db.execute(
            f"SELECT {_REPORT} FROM reports WHERE gateway = ? ORDER BY rowid DESC LIMIT ?", (gateway, limit)
        ).fetchall()
        return [Report(**dict(zip(_REPORT.split(", "), row, strict=True))) for row in rows]

    def add_audit(self, entry: AuditEntry) -> None:
        """Write down what somebody did."""
        values = (entry.at, entry.actor, entry.action, entry.subject, entry.detail)
        self._db.execute(f"INSERT INTO audit ({_AUDIT}) VALUES (?, ?, ?, ?, ?)", values)
        self._db.execute("DELETE FROM audit WHERE rowid <= (SELECT max(rowid) FROM audit) - ?", (KEPT_AUDIT,))

    def audit(self, limit: int) -> list[AuditEntry]:
        """What was done, newest first."""
        rows = self._db.execute(f"SELECT {_AUDIT} FROM audit ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
        return [AuditEntry(**dict(zip(_AUDIT.split(", "), row, strict=True))) for row in rows]


def _bundle(row: tuple[object, ...]) -> StoredBundle:
    values = dict(zip(_BUNDLE.split(", "), row, strict=True))
    return StoredBundle(**{**values, "for_all": bool(values["for_all"])})  # type: ignore[arg-type]


def _said(report: Report) -> tuple[object, ...]:
    return (
        report.state, report.running_revision, report.attempted_revision, report.running_hash,
        report.attempted_hash, report.last_error,
    )  # fmt: skip
