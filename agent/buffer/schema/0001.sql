-- Times are UTC microseconds. Columns may be added by later files; this one never changes.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A series keeps its number for ever: a tag that keeps its name keeps its history.
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE scan_group (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, interval INTEGER NOT NULL, UNIQUE (device, interval)
);

-- What the stamps of an epoch of the clock were wrong by.
CREATE TABLE clock_epoch (id INTEGER PRIMARY KEY, correction INTEGER NOT NULL);

-- first and last are corrected; the stamps within data are not. shift is the part of the epoch's
-- correction that has reached first and last.
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    shift INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    data BLOB NOT NULL
);
-- Holds all that is asked of many blocks at once, so that their data need not be passed over.
CREATE INDEX block_time ON block (last, first, samples);
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, reason TEXT NOT NULL, data BLOB NOT NULL);

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    device TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX event_time ON event (time);

-- noted is when the entry was made or last extended, by the clock of that moment.
CREATE TABLE loss (
    id INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    cause TEXT NOT NULL,
    device TEXT NOT NULL,
    series TEXT NOT NULL,
    count INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    noted INTEGER NOT NULL
);
CREATE INDEX loss_time ON loss (last);

CREATE TABLE digest (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    hash TEXT NOT NULL,
    previous TEXT NOT NULL,
    body BLOB NOT NULL,
    jws TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'rejected')),
    reason TEXT NOT NULL DEFAULT '',
    settled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX digest_state ON digest (state, seq);

CREATE TABLE upload (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    seq INTEGER,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    status INTEGER NOT NULL
);
CREATE INDEX upload_time ON upload (time);
