-- Digests that were built on a chain which the platform does not have, as they were. became is the
-- number under which one is in the chain again, 0 when the platform has its period from another
-- digest, and NULL as long as neither is decided.
CREATE TABLE digest_aside (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    hash TEXT NOT NULL,
    previous TEXT NOT NULL,
    body BLOB NOT NULL,
    jws TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    settled INTEGER NOT NULL,
    noted INTEGER NOT NULL,
    became INTEGER
);
CREATE INDEX digest_aside_became ON digest_aside (became, id);

-- The digest that tells of the loss: NULL for none yet, 0 for none yet but closed to additions, and
-- -id for one in digest_aside.
ALTER TABLE loss ADD COLUMN reported INTEGER;
UPDATE loss SET reported = (SELECT MAX(seq) FROM digest)
    WHERE first < (SELECT COALESCE(MAX(last), -9223372036854775808) FROM digest);
CREATE INDEX loss_reported ON loss (reported, first);
