-- All figures in one place, kept in one way; counters that cost no statement of their own.

DROP TRIGGER domains_counted;
DROP TRIGGER domains_discounted;
DROP TRIGGER domains_recounted;
DROP TRIGGER domains_added_tally;
DROP TRIGGER domains_reason_tally;
DROP TRIGGER domains_ends_tally;

-- Whether a domain counts as one whose renewal is blocked, and as one that waits for the CA's limits.
ALTER TABLE domains ADD COLUMN is_renewal_blocked INTEGER NOT NULL GENERATED ALWAYS AS (
    deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL) VIRTUAL;
ALTER TABLE domains ADD COLUMN is_waiting_for_budget INTEGER NOT NULL GENERATED ALWAYS AS (
    deleted_at IS NULL AND activity = 'waiting_for_budget') VIRTUAL;

CREATE TABLE figures (
    what   TEXT    NOT NULL CHECK (what IN ('domains', 'reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    TEXT    NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (what, key)
) STRICT, WITHOUT ROWID;

INSERT INTO figures (what, key, amount)
    SELECT what, key, amount FROM tallies UNION ALL SELECT 'domains', what, domains FROM domain_counts WHERE domains <> 0;
DROP TABLE tallies;
DROP TABLE domain_counts;
ALTER TABLE figures RENAME TO tallies;

CREATE TRIGGER domains_tallied AFTER INSERT ON domains BEGIN
    INSERT INTO tallies (what, key, amount)
    SELECT 'domains', new.status, 1 WHERE new.deleted_at IS NULL
    UNION ALL SELECT 'domains', 'renewal_blocked', 1 WHERE new.is_renewal_blocked
    UNION ALL SELECT 'domains', 'waiting_for_budget', 1 WHERE new.is_waiting_for_budget
    UNION ALL SELECT 'reason', new.reason_code, 1 WHERE new.reason_code IS NOT NULL
    UNION ALL SELECT 'ends', new.end_hour, 1 WHERE new.end_hour IS NOT NULL
    ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

CREATE TRIGGER domains_untallied AFTER DELETE ON domains BEGIN
    INSERT INTO tallies (what, key, amount)
    SELECT 'domains', old.status, -1 WHERE old.deleted_at IS NULL
    UNION ALL SELECT 'domains', 'renewal_blocked', -1 WHERE old.is_renewal_blocked
    UNION ALL SELECT 'domains', 'waiting_for_budget', -1 WHERE old.is_waiting_for_budget
    UNION ALL SELECT 'reason', old.reason_code, -1 WHERE old.reason_code IS NOT NULL
    UNION ALL SELECT 'ends', old.end_hour, -1 WHERE old.end_hour IS NOT NULL
    ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

CREATE TRIGGER domains_retallied
AFTER UPDATE OF deleted_at, unknown_to_c4, upload_failing, source, status, block, waiting, activity, live_not_after ON domains
WHEN (old.status, old.deleted_at IS NULL, old.is_renewal_blocked, old.is_waiting_for_budget, old.reason_code, old.end_hour)
    IS NOT (new.status, new.deleted_at IS NULL, new.is_renewal_blocked, new.is_waiting_for_budget, new.reason_code,
        new.end_hour)
BEGIN
    INSERT INTO tallies (what, key, amount)
    SELECT what, key, sum(change) FROM (
        SELECT 'domains' AS what, old.status AS key, -1 AS change WHERE old.deleted_at IS NULL
        UNION ALL SELECT 'domains', new.status, 1 WHERE new.deleted_at IS NULL
        UNION ALL SELECT 'domains', 'renewal_blocked', new.is_renewal_blocked - old.is_renewal_blocked
        UNION ALL SELECT 'domains', 'waiting_for_budget', new.is_waiting_for_budget - old.is_waiting_for_budget
        UNION ALL SELECT 'reason', old.reason_code, -1 WHERE old.reason_code IS NOT NULL
        UNION ALL SELECT 'reason', new.reason_code, 1 WHERE new.reason_code IS NOT NULL
        UNION ALL SELECT 'ends', old.end_hour, -1 WHERE old.end_hour IS NOT NULL
        UNION ALL SELECT 'ends', new.end_hour, 1 WHERE new.end_hour IS NOT NULL)
    WHERE key IS NOT NULL
    GROUP BY what, key HAVING sum(change) <> 0
    ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

-- A statement that needs the next number of a counter reads it (value + 1); what was used is raised here, in the same
-- statement, and so is never used again.
CREATE TRIGGER domains_numbered AFTER INSERT ON domains BEGIN
    UPDATE counters SET value = new.position WHERE name = 'position' AND value < new.position;
END;
CREATE TRIGGER domains_renumbered AFTER UPDATE OF position ON domains BEGIN
    UPDATE counters SET value = new.position WHERE name = 'position' AND value < new.position;
END;
CREATE TRIGGER work_scheduled AFTER INSERT ON work BEGIN
    UPDATE counters SET value = new.lease_token WHERE name = 'lease_token' AND value < new.lease_token;
END;
CREATE TRIGGER work_claimed AFTER UPDATE OF lease_token ON work BEGIN
    UPDATE counters SET value = new.lease_token WHERE name = 'lease_token' AND value < new.lease_token;
END;
CREATE TRIGGER messages_taken AFTER UPDATE OF lease_token ON messages BEGIN
    UPDATE counters SET value = new.lease_token WHERE name = 'lease_token' AND value < new.lease_token;
END;
