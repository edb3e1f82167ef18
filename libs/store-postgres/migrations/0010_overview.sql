-- What the overview shows without a scan, and whose keys are destroyed after a delete.

-- Counts that are kept while things change: of domains per reason (key: its code) and per hour in which the live certificate
-- ends (key: hours since 1970); of certificates issued, orders failed and domains rechecked per day (key: YYYY-MM-DD).
CREATE TABLE tallies (
    what   text COLLATE "C" NOT NULL CHECK (what IN ('reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (what, key)
);

-- What is to be added to them. A transaction that changes a count inserts a row here and waits for nobody; the scheduler
-- folds the rows into the table above.
CREATE TABLE tally_changes (
    id     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    what   text   NOT NULL CHECK (what IN ('reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    text   NOT NULL,
    amount bigint NOT NULL
);

ALTER TABLE tally_changes SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- As `Domain::reason` has it.
CREATE FUNCTION reason_code_of(d domains) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN d.deleted_at IS NOT NULL THEN NULL
        WHEN d.unknown_to_c4 THEN 'unknown_to_c4'
        WHEN d.upload_failing IS NOT NULL THEN d.upload_failing ->> 'code'
        WHEN d.source = 'text' AND d.status = 'Expired' THEN 'pasted_ended'
        WHEN d.block IS NOT NULL THEN d.block ->> 'code'
        ELSE d.waiting ->> 'code'
    END
$$;

CREATE FUNCTION end_hour_of(d domains) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN d.deleted_at IS NULL AND d.status <> 'Expired'
        THEN floor(extract(epoch FROM d.live_not_after) / 3600)::bigint::text END
$$;

CREATE FUNCTION tally_domain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    reason_before text;
    reason_after  text := reason_code_of(NEW);
    hour_before   text;
    hour_after    text := end_hour_of(NEW);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        reason_before := reason_code_of(OLD);
        hour_before := end_hour_of(OLD);
    END IF;
    IF reason_before IS DISTINCT FROM reason_after THEN
        INSERT INTO tally_changes (what, key, amount)
            SELECT 'reason', c.key, c.amount FROM (VALUES (reason_before, -1), (reason_after, 1)) AS c (key, amount)
            WHERE c.key IS NOT NULL;
    END IF;
    IF hour_before IS DISTINCT FROM hour_after THEN
        INSERT INTO tally_changes (what, key, amount)
            SELECT 'ends', c.key, c.amount FROM (VALUES (hour_before, -1), (hour_after, 1)) AS c (key, amount)
            WHERE c.key IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_tally
    AFTER INSERT OR UPDATE OF deleted_at, unknown_to_c4, upload_failing, source, status, block, waiting, live_not_after
    ON domains FOR EACH ROW EXECUTE FUNCTION tally_domain();

INSERT INTO tallies (what, key, amount)
    SELECT 'reason', reason_code_of(d), count(*) FROM domains d WHERE reason_code_of(d) IS NOT NULL GROUP BY 2
    UNION ALL
    SELECT 'ends', end_hour_of(d), count(*) FROM domains d WHERE end_hour_of(d) IS NOT NULL GROUP BY 2
    UNION ALL
    SELECT 'issued', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), count(*) FROM certificates
        WHERE source = 'c4' GROUP BY 2
    UNION ALL
    SELECT 'rechecked', rechecked_on, count(*) FROM domains WHERE rechecked_on <> '' GROUP BY 2;

CREATE INDEX work_of_midnight ON work (cause, due_at) WHERE cause = 'midnight';

-- When the keys of the name's certificates were destroyed, after which delete.
ALTER TABLE domains ADD COLUMN keys_destroyed_at timestamptz;
ALTER TABLE certificates ADD COLUMN key_destroyed_at timestamptz;
CREATE INDEX domains_with_keys_to_destroy ON domains (deleted_at)
    WHERE deleted_at IS NOT NULL AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at);

CREATE INDEX buckets_by_time ON buckets (at);
CREATE INDEX sessions_ending ON sessions (expires_at);
