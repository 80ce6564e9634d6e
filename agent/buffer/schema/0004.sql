-- A stream is a chain of digests of its own, for one audience; '' is the gateway's own.
CREATE TABLE digest_of_stream (
    stream TEXT NOT NULL DEFAULT '',
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    hash TEXT NOT NULL,
    previous TEXT NOT NULL,
    body BLOB NOT NULL,
    jws TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'rejected')),
    reason TEXT NOT NULL DEFAULT '',
    settled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, seq)
);
INSERT INTO digest_of_stream (stream, seq, kind, first, last, hash, previous, body, jws, state, reason, settled)
    SELECT '', seq, kind, first, last, hash, previous, body, jws, state, reason, settled FROM digest ORDER BY seq;
DROP TABLE digest;
ALTER TABLE digest_of_stream RENAME TO digest;
CREATE INDEX digest_state ON digest (stream, state, seq);

ALTER TABLE digest_aside ADD COLUMN stream TEXT NOT NULL DEFAULT '';

-- The stream whose chain a loss is about; '' also for all that is lost of the plant's data.
ALTER TABLE loss ADD COLUMN stream TEXT NOT NULL DEFAULT '';

-- To whom it went.
ALTER TABLE upload ADD COLUMN audience TEXT NOT NULL DEFAULT '';
ALTER TABLE upload ADD COLUMN host TEXT NOT NULL DEFAULT '';
