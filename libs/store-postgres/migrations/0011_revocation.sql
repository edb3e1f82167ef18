-- Certificates that are to be revoked at their CA, or were. Their work has a kind of its own.
ALTER TABLE work
    DROP CONSTRAINT work_kind_check,
    ADD CONSTRAINT work_kind_check CHECK (kind IN ('issue', 'upload', 'remove', 'revoke'));

ALTER TABLE certificates ADD COLUMN revoked_at timestamptz;

-- A certificate with a row here is never put back, whatever became of its revocation.
CREATE TABLE revocations (
    certificate_id uuid        PRIMARY KEY REFERENCES certificates (id),
    name           text COLLATE "C" NOT NULL REFERENCES domains (name),
    reason         text        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('asked', 'revoked', 'refused', 'ended')),
    requested_by   text        NOT NULL,
    requested_at   timestamptz NOT NULL,
    -- Until then it waits for the replacement of a certificate that serves.
    waits_until    timestamptz NOT NULL,
    -- Why the replacement cannot be had, as it was last told; empty for nothing.
    waiting_for    text        NOT NULL DEFAULT ''
);

CREATE INDEX revocations_by_name ON revocations (name);
