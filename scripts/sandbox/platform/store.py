"""Everything the platform keeps, in one SQLite file; synchronous, one thread at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.sandbox.platform.control_store import ControlStore
from scripts.sandbox.platform.prescription_store import PrescriptionStore

SCHEMAS = (
    """
CREATE TABLE gateways (
    id TEXT PRIMARY KEY, thumbprint TEXT NOT NULL UNIQUE, public_key TEXT NOT NULL,
    hostname TEXT NOT NULL, hardware TEXT NOT NULL, version TEXT NOT NULL,
    enrolled REAL NOT NULL, last_seen REAL NOT NULL, status TEXT NOT NULL DEFAULT '', status_at REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY, expires REAL NOT NULL, enterprise TEXT NOT NULL, used_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE nonces (
    gateway TEXT NOT NULL, jti TEXT NOT NULL, expires REAL NOT NULL, PRIMARY KEY (gateway, jti)
) STRICT, WITHOUT ROWID;
CREATE TABLE digests (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
    hash TEXT NOT NULL, previous TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('accepted', 'rejected')),
    reason TEXT NOT NULL, received REAL NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL, jws TEXT NOT NULL,
    PRIMARY KEY (gateway, stream, seq)
) STRICT;
CREATE TABLE bundles (
    gateway TEXT PRIMARY KEY, etag TEXT NOT NULL, body BLOB NOT NULL, published REAL NOT NULL
) STRICT;
""",
    """
ALTER TABLE gateways ADD COLUMN encryption_key TEXT NOT NULL DEFAULT '';
""",
    """
ALTER TABLE gateways ADD COLUMN affiliation TEXT NOT NULL DEFAULT '';
DROP TABLE bundles;
CREATE TABLE bundles (
    hash TEXT PRIMARY KEY, etag TEXT NOT NULL, revision INTEGER NOT NULL, signers INTEGER NOT NULL,
    posted REAL NOT NULL, changed REAL NOT NULL, for_all INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE offers (
    bundle TEXT NOT NULL, gateway TEXT NOT NULL, PRIMARY KEY (bundle, gateway)
) STRICT, WITHOUT ROWID;
CREATE TABLE reports (
    gateway TEXT NOT NULL, at REAL NOT NULL, state TEXT NOT NULL,
    running_revision INTEGER NOT NULL, attempted_revision INTEGER NOT NULL,
    running_hash TEXT NOT NULL, attempted_hash TEXT NOT NULL, last_error TEXT NOT NULL
) STRICT;
CREATE INDEX reports_of ON reports (gateway, at);
CREATE TABLE audit (
    at REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
""",
    """
CREATE TABLE prescriptions (
    gateway TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, hash TEXT NOT NULL, signers INTEGER NOT NULL,
    posted REAL NOT NULL, body BLOB NOT NULL, PRIMARY KEY (gateway, id, revision)
) STRICT;
CREATE TABLE prescribed (
    gateway TEXT NOT NULL, id TEXT NOT NULL, hash TEXT NOT NULL, seq INTEGER NOT NULL, line TEXT NOT NULL,
    PRIMARY KEY (gateway, id, hash)
) STRICT;
""",
    """
ALTER TABLE digests ADD COLUMN kind TEXT NOT NULL DEFAULT '';
UPDATE digests SET kind = COALESCE(json_extract(CAST(body AS TEXT), '$.kind'), '')
    WHERE json_valid(CAST(body AS TEXT));
CREATE INDEX digests_of_kind ON digests (gateway, stream, kind, seq);
""",
)
"""``SCHEMAS[n]`` leads from version n of the database to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """An enrolled gateway; times are UTC seconds, the keys and ``status`` JSON texts."""

    id: str
    thumbprint: str
    public_key: str
    hostname: str
    hardware: str
    version: str
    enrolled: float
    last_seen: float
    status: str = ""
    status_at: float = 0.0
    encryption_key: str = ""
    affiliation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDigest:
    """A place in a chain. A rejected one is a tombstone: hash and link without body, and without a kind."""

    gateway: str
    stream: str
    seq: int
    hash: str
    previous: str
    state: str
    reason: str
    received: float
    size: int
    body: bytes
    jws: str
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A one-time enrolment token; ``used_by`` is a key's thumbprint."""

    hash: str
    expires: float
    enterprise: str
    used_by: str


_GATEWAY = (
    "id, thumbprint, public_key, hostname, hardware, version, enrolled, last_seen, status, status_at, encryption_key,"
    " affiliation"
)
_DIGEST = "gateway, stream, seq, hash, previous, state, reason, received, size, body, jws, kind"


class Store:
    """The database. Every method is one transaction; call from one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(data_dir / "platform.db", isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # an acknowledged digest must survive a power cut
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(SCHEMAS):
                raise RuntimeError(f"{data_dir}/platform.db has schema {version}, this program knows {len(SCHEMAS)}")
            for schema in SCHEMAS[version:]:
                for statement in schema.split(";"):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {len(SCHEMAS)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit on success, roll back on any exception."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @property
    def control(self) -> ControlStore:
        """The part that remote configuration keeps."""
        return ControlStore(self._db)

    @property
    def prescriptions(self) -> PrescriptionStore:
        """The part that prescriptions keep."""
        return PrescriptionStore(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add_token(self, token: Token) -> None:
        """Keep a new token."""
        self._db.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?)", (token.hash, token.expires, token.enterprise, token.used_by)
        )

    def token(self, token_hash: str) -> Token | None:
        """The token with this hash."""
        row = self._db.execute("SELECT hash, expires, enterprise, used_by FROM tokens WHERE hash = ?", (token_hash,))
        found = row.fetchone()
        return Token(hash=found[0], expires=found[1], enterprise=found[2], used_by=found[3]) if found else None

    def use_token(self, token_hash: str, thumbprint: str) -> None:
        """Note who used the token."""
        self._db.execute("UPDATE tokens SET used_by = ? WHERE hash = ?", (thumbprint, token_hash))

    def put_gateway(self, gateway: Gateway) -> None:
        """Add a gateway, or renew what it says of itself."""
        self._db.execute(
            f"INSERT INTO gateways ({_GATEWAY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', 0, ?, '')"
            " ON CONFLICT (id) DO UPDATE SET"
            " hostname = excluded.hostname, hardware = excluded.hardware, version = excluded.version,"
            " last_seen = excluded.last_seen,"
            " encryption_key = coalesce(nullif(excluded.encryption_key, ''), encryption_key)",
            (
                gateway.id, gateway.thumbprint, gateway.public_key, gateway.hostname, gateway.hardware,
                gateway.version, gateway.enrolled, gateway.last_seen, gateway.encryption_key,
            ),
        )  # fmt: skip

    def gateway(self, gateway_id: str) -> Gateway | None:
        """The gateway with this id."""
        return self._gateway("id", gateway_id)

    def gateway_by_key(self, thumbprint: str) -> Gateway | None:
        """The gateway with this key."""
        return self._gateway("thumbprint", thumbprint)

    def _gateway(self, column: str, value: str) -> Gateway | None:
        row = self._db.execute(f"SELECT {_GATEWAY} FROM gateways WHERE {column} = ?", (value,)).fetchone()
        return Gateway(**dict(zip(_GATEWAY.split(", "), row, strict=True))) if row else None

    def gateways(self) -> list[Gateway]:
        """Every gateway, in the order of enrolment."""
        rows = self._db.execute(f"SELECT {_GATEWAY} FROM gateways ORDER BY enrolled, id").fetchall()
        return [Gateway(**dict(zip(_GATEWAY.split(", "), row, strict=True))) for row in rows]

    def seen(self, gateway_id: str, now: float) -> None:
        """Note a sign of life."""
        self._db.execute("UPDATE gateways SET last_seen = ? WHERE id = ?", (now, gateway_id))

    def put_affiliation(self, gateway_id: str, affiliation: str) -> None:
        """Note where the gateway belongs (JSON)."""
        self._db.execute("UPDATE gateways SET affiliation = ? WHERE id = ?", (affiliation, gateway_id))

    def put_status(self, gateway_id: str, status: str, now: float) -> None:
        """Replace the gateway's status (JSON)."""
        self._db.execute("UPDATE gateways SET status = ?, status_at = ? WHERE id = ?", (status, now, gateway_id))

    def use_nonce(self, gateway_id: str, jti: str, expires: float, now: float) -> bool:
        """Note a token's ``jti``; False when it was used before."""
        with self.transaction():
            self._db.execute("DELETE FROM nonces WHERE expires < ?", (now,))
            cursor = self._db.execute(
                "INSERT INTO nonces VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (gateway_id, jti, expires)
            )
            return cursor.rowcount == 1

    def add_digest(self, digest: StoredDigest) -> None:
        """Append to a chain."""
        self._db.execute(
            f"INSERT INTO digests ({_DIGEST}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                digest.gateway, digest.stream, digest.seq, digest.hash, digest.previous, digest.state,
                digest.reason, digest.received, digest.size, digest.body, digest.jws,
                digest.kind,
            ),
        )  # fmt: skip

    def digest(self, gateway_id: str, stream: str, seq: int) -> StoredDigest | None:
        """One place of a chain."""
        rows = self._digests("gateway = ? AND stream = ? AND seq = ?", (gateway_id, stream, seq))
        return next(rows, None)

    def head(self, gateway_id: str, stream: str) -> StoredDigest | None:
        """The last place of a chain."""
        rows = self._digests("gateway = ? AND stream = ? ORDER BY seq DESC LIMIT 1", (gateway_id, stream))
        return next(rows, None)

    def latest_accepted(self, gateway_id: str, stream: str) -> StoredDigest | None:
        """The newest place of a chain that holds the digest of a period."""
        return next(iter(self.of_kind(gateway_id, stream, "period", 1)), None)

    def of_kind(self, gateway_id: str, stream: str, kind: str, limit: int) -> list[StoredDigest]:
        """The newest digests of a kind, at most ``limit``, newest first."""
        condition = "gateway = ? AND stream = ? AND kind = ? ORDER BY seq DESC LIMIT ?"
        return list(self._digests(condition, (gateway_id, stream, kind, limit)))

    def chain(self, gateway_id: str, stream: str) -> Iterator[StoredDigest]:
        """A whole chain, oldest first."""
        return self._digests("gateway = ? AND stream = ? ORDER BY seq", (gateway_id, stream))

    def page(self, gateway_id: str, stream: str, before: int, limit: int) -> list[StoredDigest]:
        """At most ``limit`` places below ``before``, newest first."""
        condition = "gateway = ? AND stream = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
        return list(self._digests(condition, (gateway_id, stream, before, limit)))

    def _digests(self, condition: str, values: tuple[object, ...]) -> Iterator[StoredDigest]:
        names = _DIGEST.split(", ")
        for row in self._db.execute(f"SELECT {_DIGEST} FROM digests WHERE {condition}", values):
            yield StoredDigest(**dict(zip(names, row, strict=True)))

    def streams(self, gateway_id: str) -> list[str]:
        """Names of the gateway's streams that hold digests; the gateway's own chain is the empty name."""
        rows = self._db.execute("SELECT DISTINCT stream FROM digests WHERE gateway = ? ORDER BY stream", (gateway_id,))
        return [row[0] for row in rows]
