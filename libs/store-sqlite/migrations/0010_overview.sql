-- What the overview shows without a scan, and whose keys are destroyed after a delete.

-- Counts that are kept while things change: of domains per reason (key: its code) and per hour in which the live certificate
-- ends (key: hours since 1970); of certificates issued, orders failed and domains rechecked per day (key: YYYY-MM-DD).
CREATE TABLE tallies (
    what   TEXT    NOT NULL CHECK (what IN ('reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    TEXT    NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (what, key)
) STRICT, WITHOUT ROWID;

-- As `Domain::reason` has it.
ALTER TABLE domains ADD COLUMN reason_code TEXT GENERATED ALWAYS AS (
    CASE
        WHEN deleted_at IS NOT NULL THEN NULL
        WHEN unknown_to_c4 THEN 'unknown_to_c4'
        WHEN upload_failing IS NOT NULL THEN json_extract(upload_failing, '$.code')
        WHEN source = 'text' AND status = 'Expired' THEN 'pasted_ended'
        WHEN block IS NOT NULL THEN json_extract(block, '$.code')
        ELSE json_extract(waiting, '$.code')
    END) VIRTUAL;
ALTER TABLE domains ADD COLUMN end_hour INTEGER GENERATED ALWAYS AS (
    CASE WHEN deleted_at IS NULL AND status <> 'Expired' THEN live_not_after / 3600000000 END) VIRTUAL;

CREATE TRIGGER domains_added_tally AFTER INSERT ON domains
BEGIN
    INSERT INTO tallies (what, key, amount)
        SELECT 'reason', NEW.reason_code, 1 WHERE NEW.reason_code IS NOT NULL
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
    INSERT INTO tallies (what, key, amount)
        SELECT 'ends', NEW.end_hour, 1 WHERE NEW.end_hour IS NOT NULL
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

CREATE TRIGGER domains_reason_tally
AFTER UPDATE OF deleted_at, unknown_to_c4, upload_failing, source, status, block, waiting ON domains
WHEN OLD.reason_code IS NOT NEW.reason_code
BEGIN
    INSERT INTO tallies (what, key, amount)
        SELECT 'reason', OLD.reason_code, -1 WHERE OLD.reason_code IS NOT NULL
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
    INSERT INTO tallies (what, key, amount)
        SELECT 'reason', NEW.reason_code, 1 WHERE NEW.reason_code IS NOT NULL
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

CREATE TRIGGER domains_ends_tally
AFTER UPDATE OF deleted_at, status, live_not_after ON domains
WHEN OLD.end_hour IS NOT NEW.end_hour
BEGIN
    INSERT INTO tallies (what, key, amount)
        SELECT 'ends', OLD.end_hour, -1 WHERE OLD.end_hour IS NOT NULL
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
    INSERT INTO tallies (what, key, amount)
        SELECT 'ends', NEW.end_hour, 1 WHERE NEW.end_hour IS NOT NULL
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

INSERT INTO tallies (what, key, amount)
    SELECT 'reason', reason_code, count(*) FROM domains WHERE reason_code IS NOT NULL GROUP BY reason_code
    UNION ALL
    SELECT 'ends', end_hour, count(*) FROM domains WHERE end_hour IS NOT NULL GROUP BY end_hour
    UNION ALL
    SELECT 'issued', date(created_at / 1000000, 'unixepoch'), count(*) FROM certificates WHERE source = 'c4'
        GROUP BY date(created_at / 1000000, 'unixepoch')
    UNION ALL
    SELECT 'rechecked', rechecked_on, count(*) FROM domains WHERE rechecked_on <> '' GROUP BY rechecked_on;

CREATE INDEX work_of_midnight ON work (cause, due_at) WHERE cause = 'midnight';

-- When the keys of the name's certificates were destroyed, after which delete.
ALTER TABLE domains ADD COLUMN keys_destroyed_at INTEGER;
ALTER TABLE certificates ADD COLUMN key_destroyed_at INTEGER;
CREATE INDEX domains_with_keys_to_destroy ON domains (deleted_at)
    WHERE deleted_at IS NOT NULL AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at);

CREATE INDEX buckets_by_time ON buckets (at);
CREATE INDEX sessions_ending ON sessions (expires_at);
