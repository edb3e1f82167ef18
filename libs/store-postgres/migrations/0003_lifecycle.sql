-- The whole lifecycle: roll back, doubts about C4, rests after invalid challenges, the daily recheck, renewal windows,
-- and the ledger of a CA's limits.

ALTER TABLE domains
    ADD COLUMN previous_certificate_id uuid,
    ADD COLUMN missing_first_at timestamptz,
    ADD COLUMN missing_last_at timestamptz,
    ADD COLUMN missing_answers integer NOT NULL DEFAULT 0,
    ADD COLUMN invalid_challenges integer NOT NULL DEFAULT 0,
    ADD COLUMN invalid_challenges_dns text NOT NULL DEFAULT '',
    -- The day (YYYY-MM-DD) of the last daily recheck that took it; empty for none.
    ADD COLUMN rechecked_on text COLLATE "C" NOT NULL DEFAULT '';

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
    day          text COLLATE "C" PRIMARY KEY,
    completed_at timestamptz NOT NULL
);

ALTER TABLE certificates
    ADD COLUMN account_id uuid REFERENCES accounts (id),
    ADD COLUMN renewal_at timestamptz,
    ADD COLUMN window_start timestamptz,
    ADD COLUMN window_end timestamptz;

-- What was spent of a CA's limits: a bucket's theoretical arrival time (GCRA).
CREATE TABLE buckets (
    key text COLLATE "C" PRIMARY KEY,
    at  timestamptz NOT NULL
);

-- What the rehearsal of a host's challenge path has to find: one at a time.
CREATE TABLE probes (
    host   text COLLATE "C" PRIMARY KEY,
    token  text NOT NULL,
    answer text NOT NULL
);
