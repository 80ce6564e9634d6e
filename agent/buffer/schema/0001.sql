-- Times are UTC microseconds.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A series keeps its number for ever: a tag that keeps its name keeps its history.
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE scan_group (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, interval INTEGER NOT NULL, UNIQUE (device, interval)
);

-- first and last are as stamped; what an epoch of the clock was wrong by is in clock_epoch.
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE clock_epoch (id INTEGER PRIMARY KEY, correction INTEGER NOT NULL);
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, reason TEXT NOT NULL, data BLOB NOT NULL);

CREATE TABLE event (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, device TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX event_time ON event (time);

CREATE TABLE loss (
    id INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    cause TEXT NOT NULL,
    device TEXT NOT NULL,
    series TEXT NOT NULL,
    count INTEGER NOT NULL
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
