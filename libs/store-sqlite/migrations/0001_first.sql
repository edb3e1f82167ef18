-- Times are microseconds since 1970 (UTC); ids are hyphenated UUIDs; reasons are JSON.

CREATE TABLE counters (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

INSERT INTO counters (name, value) VALUES ('position', 0), ('lease_token', 0);

-- One row per name, for ever.
CREATE TABLE domains (
    name                TEXT    PRIMARY KEY,
    revision            INTEGER NOT NULL CHECK (revision > 0),
    source              TEXT    NOT NULL CHECK (source IN ('c4', 'text')),
    created_at          INTEGER NOT NULL,
    deleted_at          INTEGER,
    unknown_to_c4       INTEGER NOT NULL CHECK (unknown_to_c4 IN (0, 1)),
    upload_failing      TEXT,
    live_certificate_id TEXT    REFERENCES certificates (id),
    live_not_after      INTEGER,
    block               TEXT,
    waiting             TEXT,
    status              TEXT    NOT NULL
        CHECK (status IN ('Success', 'Pending', 'Failure', 'Discard', 'Expired', 'Emergency')),
    activity            TEXT    NOT NULL,
    upload_revision     INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    position            INTEGER NOT NULL,
    changed_at          INTEGER NOT NULL,
    CHECK ((live_certificate_id IS NULL) = (live_not_after IS NULL))
) STRICT;

CREATE INDEX domains_listed ON domains (name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_status ON domains (status, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_ending ON domains (live_not_after) WHERE deleted_at IS NULL AND status = 'Success';
CREATE UNIQUE INDEX domains_by_position ON domains (position);

-- What is due for a name and kind, and who holds it.
CREATE TABLE work (
    name           TEXT    NOT NULL REFERENCES domains (name),
    kind           TEXT    NOT NULL CHECK (kind IN ('issue', 'upload', 'remove')),
    revision       INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    attempts       INTEGER NOT NULL,
    due_at         INTEGER,
    certificate_id TEXT,
    lease_token    INTEGER NOT NULL,
    lease_until    INTEGER,
    hinted_at      INTEGER,
    PRIMARY KEY (name, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX work_due ON work (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE accounts (
    id            TEXT    PRIMARY KEY,
    issuer        TEXT    NOT NULL,
    directory_url TEXT    NOT NULL,
    sealed_key    BLOB    NOT NULL,
    url           TEXT,
    created_at    INTEGER NOT NULL,
    UNIQUE (issuer, directory_url)
) STRICT;

-- The order journal. A state has exactly its columns.
CREATE TABLE orders (
    id             TEXT    PRIMARY KEY,
    name           TEXT    NOT NULL REFERENCES domains (name),
    revision       INTEGER NOT NULL,
    account_id     TEXT    NOT NULL REFERENCES accounts (id),
    created_at     INTEGER NOT NULL,
    state          TEXT    NOT NULL
        CHECK (state IN ('created', 'placed', 'keyed', 'issued', 'failed', 'abandoned')),
    url            TEXT,
    certificate_id TEXT,
    sealed_key     BLOB,
    csr            BLOB,
    CHECK (state <> 'created' OR url IS NULL),
    CHECK (state <> 'placed' OR url IS NOT NULL),
    CHECK (state <> 'keyed'
        OR (url IS NOT NULL AND certificate_id IS NOT NULL AND sealed_key IS NOT NULL AND csr IS NOT NULL)),
    CHECK (state <> 'issued' OR certificate_id IS NOT NULL),
    CHECK (state = 'keyed' OR sealed_key IS NULL)
) STRICT;

CREATE UNIQUE INDEX one_live_order_per_name ON orders (name) WHERE state IN ('created', 'placed', 'keyed');

CREATE TABLE challenges (
    host              TEXT    NOT NULL,
    token             TEXT    NOT NULL,
    key_authorization TEXT    NOT NULL,
    order_id          TEXT    NOT NULL REFERENCES orders (id),
    created_at        INTEGER NOT NULL,
    PRIMARY KEY (host, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX challenges_by_order ON challenges (order_id);

CREATE TABLE certificates (
    id          TEXT    PRIMARY KEY,
    name        TEXT    NOT NULL REFERENCES domains (name),
    revision    INTEGER NOT NULL,
    source      TEXT    NOT NULL CHECK (source IN ('c4', 'text')),
    sha256      TEXT    NOT NULL,
    serial      TEXT    NOT NULL,
    issuer      TEXT    NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    chain_pem   TEXT    NOT NULL,
    sealed_key  BLOB,
    created_at  INTEGER NOT NULL,
    uploaded_at INTEGER
) STRICT;

CREATE INDEX certificates_by_name ON certificates (name, not_after);

CREATE TABLE history (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    name               TEXT    NOT NULL,
    at                 INTEGER NOT NULL,
    kind               TEXT    NOT NULL,
    actor              TEXT    NOT NULL,
    status_from        TEXT,
    status_to          TEXT    NOT NULL,
    message            TEXT    NOT NULL,
    certificate_sha256 TEXT
) STRICT;

CREATE INDEX history_by_name ON history (name, id);

CREATE TABLE tokens (
    name         TEXT    PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    role         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

-- Events on their way.
CREATE TABLE messages (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    kind        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    dead_reason TEXT
) STRICT;

CREATE INDEX messages_waiting ON messages (kind, sequence) WHERE dead_reason IS NULL;
