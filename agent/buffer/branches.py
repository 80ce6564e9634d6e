"""Digests of a branch that the platform does not have: set aside, kept, and taken up again elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.buffer.database import SMALL, Database, Transaction
from agent.buffer.digests import DIGEST, Digests, insert_digest
from agent.buffer.ledger import Ledger
from agent.buffer.records import DigestAside, DigestRecord, Loss

log = logging.getLogger(__name__)

_AT_ONCE = 16
SET_ASIDE = "digest_set_aside"
"""Cause of the ledger's entry: ``count`` digests were built on a chain that the platform does not have."""


class Branches(Ledger, Digests):
    """What becomes of digests that cannot follow the platform's head."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        super().__init__(database, now)
        self.chain = asyncio.Lock()
        """Held from the moment the next digests' places are looked up until they are stored, and while a branch
        is set aside: no digest is added to a branch that has been given up."""

    async def set_aside_digests(
        self, after_seq: int, notes: tuple[str, str] | None = None, *, accepted: bool = False
    ) -> int:
        """Move the digests behind ``after_seq`` that the platform has not accepted out of the chain.

        They are kept as they are (:meth:`set_aside`), and the ledger says so. ``notes``: a setting that is
        kept before the first of them goes. ``accepted``: also those that a platform did accept. Returns how many
        were moved. Holds :attr:`chain`.
        """
        states = "" if accepted else "AND state != 'accepted'"
        branch, place = f"stream = ? AND seq > ? {states}", (self.stream, after_seq)
        async with self.chain:
            ((count, first, last),) = await self._db.read(
                f"SELECT COUNT(*), MIN(first), MAX(last) FROM digest WHERE {branch}", place
            )

            async def announce(transaction: Transaction) -> None:
                if notes is not None:
                    own = (self._own(notes[0]), notes[1])
                    await transaction.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", own)
                if count:
                    await self._enter(transaction, Loss(first, last, SET_ASIDE, count=count))

            await self._db.write(announce)
            # The newest first: what is left at any moment is a chain.
            while rows := await self._db.read(
                f"SELECT seq, LENGTH(body) + LENGTH(jws) FROM digest WHERE {branch} ORDER BY seq DESC LIMIT ?",
                (*place, _AT_ONCE),
            ):
                while len(rows) > 1 and sum(size for _, size in rows) > self._db.log_limit // 4:
                    rows.pop()
                await self._move_aside([seq for seq, _ in rows], sum(size for _, size in rows))
            return int(count)

    async def _move_aside(self, numbers: list[int], size: int) -> None:
        async def work(transaction: Transaction) -> None:
            for seq in numbers:
                await transaction.run(
                    f"INSERT INTO digest_aside ({DIGEST}, noted)"
                    f" SELECT {DIGEST}, ? FROM digest WHERE stream = ? AND seq = ?",
                    (self._now(), self.stream, seq),
                )
                if not self.stream:  # whose digests are those that losses count as reported by
                    await transaction.run(
                        "UPDATE loss SET reported = -(SELECT MAX(id) FROM digest_aside) WHERE reported = ?", (seq,)
                    )
                await transaction.run("DELETE FROM digest WHERE stream = ? AND seq = ?", (self.stream, seq))

        await self._db.write(work, size=2 * size + SMALL)

    async def set_aside(self, *, undecided: bool = False) -> list[DigestAside]:
        """What was set aside, oldest period first; ``undecided``: of which it is open what becomes of it."""
        condition = "AND became IS NULL" if undecided else ""
        rows = await self._db.read(
            f"SELECT id, became, noted, {_BODY} FROM digest_aside WHERE stream = ? {condition} ORDER BY first, seq, id",
            (self.stream,),
        )
        return [DigestAside(number, became, noted, DigestRecord(*row)) for number, became, noted, *row in rows]

    async def undecided(self) -> bool:
        """Whether there is any of which it is open what becomes of it."""
        return bool(
            await self._db.read(
                "SELECT 1 FROM digest_aside WHERE became IS NULL AND stream = ? LIMIT 1", (self.stream,)
            )
        )

    async def relink(self, number: int, record: DigestRecord) -> None:
        """Add ``record``, which says again what the one set aside as ``number`` said, in one transaction."""

        async def work(transaction: Transaction) -> None:
            await insert_digest(transaction, record)
            await transaction.run("UPDATE digest_aside SET became = ? WHERE id = ?", (record.seq, number))
            await transaction.run("UPDATE loss SET reported = ? WHERE reported = ?", (record.seq, -number))

        await self._db.write(work, size=len(record.body) + len(record.jws) + SMALL)

    async def supersede(self, number: int) -> None:
        """The platform knows of that period from elsewhere; what the digest told of losses is to be told again."""

        async def work(transaction: Transaction) -> None:
            await transaction.run("UPDATE digest_aside SET became = 0 WHERE id = ?", (number,))
            await transaction.run("UPDATE loss SET reported = 0 WHERE reported = ?", (-number,))

        await self._db.write(work, size=SMALL)


_BODY = DIGEST.replace("body", "CAST(body AS BLOB)")
