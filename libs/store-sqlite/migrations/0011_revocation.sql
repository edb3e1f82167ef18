-- Certificates that are to be revoked at their CA, or were. Their work has a kind of its own; a table's check cannot be
-- changed in place.
CREATE TABLE work_anew (
    name           TEXT    NOT NULL REFERENCES domains (name),
    kind           TEXT    NOT NULL CHECK (kind IN ('issue', 'upload', 'remove', 'revoke')),
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

INSERT INTO work_anew (name, kind, revision, cause, attempts, due_at, certificate_id, lease_token, lease_until, hinted_at)
SELECT name, kind, revision, cause, attempts, due_at, certificate_id, lease_token, lease_until, hinted_at FROM work;

DROP TABLE work;

ALTER TABLE work_anew RENAME TO work;

CREATE INDEX work_due ON work (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX work_of_midnight ON work (cause, due_at) WHERE cause = 'midnight';

ALTER TABLE certificates ADD COLUMN revoked_at INTEGER;

-- A certificate with a row here is never put back, whatever became of its revocation.
CREATE TABLE revocations (
    certificate_id TEXT    PRIMARY KEY REFERENCES certificates (id),
    name           TEXT    NOT NULL REFERENCES domains (name),
    reason         TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('asked', 'revoked', 'refused', 'ended')),
    requested_by   TEXT    NOT NULL,
    requested_at   INTEGER NOT NULL,
    -- Until then it waits for the replacement of a certificate that serves.
    waits_until    INTEGER NOT NULL,
    -- Why the replacement cannot be had, as it was last told; empty for nothing.
    waiting_for    TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_by_name ON revocations (name);
