-- The whole lifecycle: roll back, doubts about C4, rests after invalid challenges, the daily recheck, renewal windows,
-- and the ledger of a CA's limits.

ALTER TABLE domains ADD COLUMN previous_certificate_id TEXT REFERENCES certificates (id);
ALTER TABLE domains ADD COLUMN missing_first_at INTEGER;
ALTER TABLE domains ADD COLUMN missing_last_at INTEGER;
ALTER TABLE domains ADD COLUMN missing_answers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN invalid_challenges INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN invalid_challenges_dns TEXT NOT NULL DEFAULT '';
-- The day (YYYY-MM-DD) of the last daily recheck that took it; empty for none.
ALTER TABLE domains ADD COLUMN rechecked_on TEXT NOT NULL DEFAULT '';

CREATE INDEX domains_to_recheck ON domains (rechecked_on, name)
    WHERE deleted_at IS NULL AND source = 'c4' AND status IN ('Failure', 'Pending', 'Expired');
CREATE INDEX domains_missing ON domains (missing_last_at)
    WHERE missing_last_at IS NOT NULL AND live_certificate_id IS NOT NULL;

CREATE INDEX domains_renewal_blocked ON domains (name)
    WHERE deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL;
CREATE INDEX domains_waiting_for_budget ON domains (name)
    WHERE deleted_at IS NULL AND activity = 'waiting_for_budget';

-- Days whose daily recheck is complete.
CREATE TABLE rechecked_days (
    day          TEXT    PRIMARY KEY,
    completed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE certificates ADD COLUMN account_id TEXT REFERENCES accounts (id);
ALTER TABLE certificates ADD COLUMN renewal_at INTEGER;
ALTER TABLE certificates ADD COLUMN window_start INTEGER;
ALTER TABLE certificates ADD COLUMN window_end INTEGER;

-- What was spent of a CA's limits: a bucket's theoretical arrival time (GCRA).
CREATE TABLE buckets (
    key TEXT    PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the rehearsal of a host's challenge path has to find: one at a time.
CREATE TABLE probes (
    host   TEXT PRIMARY KEY,
    token  TEXT    NOT NULL,
    answer TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
