-- The list at a million names: orders and filters by index, searches, and figures that are kept instead of counted.

-- Who has to act, by the reason that is shown.
ALTER TABLE domains ADD COLUMN who TEXT CHECK (who IN ('customer', 'cdn_operator', 'ca', 'us'));
ALTER TABLE domains ADD COLUMN attention INTEGER NOT NULL GENERATED ALWAYS AS (
    CASE status WHEN 'Emergency' THEN 1 WHEN 'Expired' THEN 2 WHEN 'Failure' THEN 3
        WHEN 'Discard' THEN 4 WHEN 'Pending' THEN 5 ELSE 6 END) VIRTUAL;
ALTER TABLE domains ADD COLUMN ends_at INTEGER NOT NULL
    GENERATED ALWAYS AS (coalesce(live_not_after, 9223372036854775807)) VIRTUAL;
-- The name from its end to its beginning, for searches by the end.
ALTER TABLE domains ADD COLUMN reversed TEXT NOT NULL DEFAULT '';

UPDATE domains SET
    reversed = (
        WITH RECURSIVE letters (done, rest) AS (
            SELECT '', domains.name
            UNION ALL SELECT substr(rest, 1, 1) || done, substr(rest, 2) FROM letters WHERE rest <> '')
        SELECT done FROM letters WHERE rest = ''),
    who = CASE CASE WHEN unknown_to_c4 THEN 'unknown_to_c4' ELSE coalesce(upload_failing->>'$.code',
            CASE WHEN source = 'text' AND status = 'Expired' AND live_not_after IS NOT NULL THEN 'pasted_ended' END,
            block->>'$.code', waiting->>'$.code') END
        WHEN 'not_pointed' THEN 'customer' WHEN 'port_missing' THEN 'customer' WHEN 'caa_forbids' THEN 'customer'
        WHEN 'challenge_unreachable' THEN 'customer' WHEN 'challenge_invalid' THEN 'customer'
        WHEN 'pasted_ended' THEN 'customer'
        WHEN 'unknown_to_c4' THEN 'cdn_operator' WHEN 'not_served' THEN 'cdn_operator'
        WHEN 'upload_failed' THEN 'cdn_operator'
        WHEN 'order_rejected' THEN 'ca' WHEN 'certificate_rejected' THEN 'ca'
        WHEN 'ca_limited' THEN 'us' WHEN 'ca_down' THEN 'us' WHEN 'could_not_ask' THEN 'us' END;

CREATE INDEX domains_by_creation ON domains (created_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_status_and_creation ON domains (status, created_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_expiry ON domains (ends_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_attention ON domains (attention, ends_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_who ON domains (who, attention, ends_at, name) WHERE deleted_at IS NULL AND who IS NOT NULL;
CREATE INDEX domains_by_text ON domains (name) WHERE deleted_at IS NULL AND source = 'text';
CREATE INDEX domains_by_end ON domains (reversed) WHERE deleted_at IS NULL;
-- It served a count, which is kept from here on.
DROP INDEX domains_waiting_for_budget;

CREATE INDEX certificates_by_sha256 ON certificates (sha256);
CREATE INDEX certificates_by_serial ON certificates (serial);

-- Every name that `domains` has, by the three letters in a row that it contains. Not over the rows of `domains`
-- themselves: without a number as their key VACUUM may move them.
CREATE VIRTUAL TABLE domain_names USING fts5 (name, tokenize = 'trigram', detail = 'none');

INSERT INTO domain_names (name) SELECT name FROM domains;

CREATE TRIGGER domains_named AFTER INSERT ON domains BEGIN
    INSERT INTO domain_names (name) VALUES (new.name);
END;

-- How many domains are on the list: per status, and of two kinds that take more than a status to see.
CREATE TABLE domain_counts (
    what    TEXT    PRIMARY KEY,
    domains INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO domain_counts (what, domains)
SELECT s.column1, (SELECT count(*) FROM domains WHERE deleted_at IS NULL AND status = s.column1)
FROM (VALUES ('Success'), ('Pending'), ('Failure'), ('Discard'), ('Expired'), ('Emergency')) AS s
UNION ALL SELECT 'renewal_blocked',
    (SELECT count(*) FROM domains WHERE deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL)
UNION ALL SELECT 'waiting_for_budget',
    (SELECT count(*) FROM domains WHERE deleted_at IS NULL AND activity = 'waiting_for_budget');

CREATE TRIGGER domains_counted AFTER INSERT ON domains WHEN new.deleted_at IS NULL BEGIN
    UPDATE domain_counts SET domains = domains + 1
    WHERE what = new.status
        OR (what = 'renewal_blocked' AND new.status = 'Success' AND new.block IS NOT NULL)
        OR (what = 'waiting_for_budget' AND new.activity = 'waiting_for_budget');
END;

CREATE TRIGGER domains_discounted AFTER DELETE ON domains WHEN old.deleted_at IS NULL BEGIN
    UPDATE domain_counts SET domains = domains - 1
    WHERE what = old.status
        OR (what = 'renewal_blocked' AND old.status = 'Success' AND old.block IS NOT NULL)
        OR (what = 'waiting_for_budget' AND old.activity = 'waiting_for_budget');
END;

CREATE TRIGGER domains_recounted AFTER UPDATE OF status, deleted_at, block, activity ON domains
WHEN old.status <> new.status OR (old.deleted_at IS NULL) <> (new.deleted_at IS NULL)
    OR (old.block IS NULL) <> (new.block IS NULL)
    OR (old.activity = 'waiting_for_budget') <> (new.activity = 'waiting_for_budget') BEGIN
    UPDATE domain_counts SET domains = domains - 1
    WHERE old.deleted_at IS NULL AND (what = old.status
        OR (what = 'renewal_blocked' AND old.status = 'Success' AND old.block IS NOT NULL)
        OR (what = 'waiting_for_budget' AND old.activity = 'waiting_for_budget'));
    UPDATE domain_counts SET domains = domains + 1
    WHERE new.deleted_at IS NULL AND (what = new.status
        OR (what = 'renewal_blocked' AND new.status = 'Success' AND new.block IS NOT NULL)
        OR (what = 'waiting_for_budget' AND new.activity = 'waiting_for_budget'));
END;
