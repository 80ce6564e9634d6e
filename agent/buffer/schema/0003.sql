-- Sums of what was measured: of a period each ('period'), and of a calendar day of the plant ('day', which
-- outlives the raw data by far). body is compressed; what is in it is the digest's business.
CREATE TABLE rollup (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (kind, first)
);
