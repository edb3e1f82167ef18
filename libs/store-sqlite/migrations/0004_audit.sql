-- Who did what, from where, with which result. A row is appended in the transaction of its call; within a second the
-- sealer gives it the next number and a hash over the row before and its own.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    peer       TEXT    NOT NULL,
    call       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    sequence   INTEGER UNIQUE CHECK (sequence > 0),
    hash       BLOB    CHECK (length(hash) = 32),
    CHECK ((sequence IS NULL) = (hash IS NULL))
) STRICT;

CREATE INDEX audit_unsealed ON audit (id) WHERE sequence IS NULL;
CREATE INDEX audit_by_subject ON audit (subject, id);

-- The last row that was sealed.
CREATE TABLE audit_head (
    sequence INTEGER NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

INSERT INTO audit_head (sequence, hash) VALUES (0, zeroblob(32));
