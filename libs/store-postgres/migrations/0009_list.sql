-- The list at a million names: orders and filters by index, searches, and figures that are kept instead of counted.

-- Trusted: whoever may create in the database may create it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

ALTER TABLE domains
    -- Who has to act, by the reason that is shown.
    ADD COLUMN who text CHECK (who IN ('customer', 'cdn_operator', 'ca', 'us')),
    ADD COLUMN attention smallint NOT NULL GENERATED ALWAYS AS (
        CASE status WHEN 'Emergency' THEN 1 WHEN 'Expired' THEN 2 WHEN 'Failure' THEN 3
            WHEN 'Discard' THEN 4 WHEN 'Pending' THEN 5 ELSE 6 END) STORED,
    ADD COLUMN ends_at timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(live_not_after, 'infinity')) STORED;

UPDATE domains d SET who = CASE r.code
        WHEN 'not_pointed' THEN 'customer' WHEN 'port_missing' THEN 'customer' WHEN 'caa_forbids' THEN 'customer'
        WHEN 'challenge_unreachable' THEN 'customer' WHEN 'challenge_invalid' THEN 'customer'
        WHEN 'pasted_ended' THEN 'customer'
        WHEN 'unknown_to_c4' THEN 'cdn_operator' WHEN 'not_served' THEN 'cdn_operator'
        WHEN 'upload_failed' THEN 'cdn_operator'
        WHEN 'order_rejected' THEN 'ca' WHEN 'certificate_rejected' THEN 'ca'
        WHEN 'ca_limited' THEN 'us' WHEN 'ca_down' THEN 'us' WHEN 'could_not_ask' THEN 'us' END
FROM (
    SELECT name, CASE WHEN unknown_to_c4 THEN 'unknown_to_c4' ELSE coalesce(upload_failing->>'code',
        CASE WHEN source = 'text' AND status = 'Expired' AND live_not_after IS NOT NULL THEN 'pasted_ended' END,
        block->>'code', waiting->>'code') END AS code
    FROM domains) r
WHERE r.name = d.name AND r.code IS NOT NULL;

CREATE INDEX domains_by_creation ON domains (created_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_status_and_creation ON domains (status, created_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_expiry ON domains (ends_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_attention ON domains (attention, ends_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_who ON domains (who, attention, ends_at, name) WHERE deleted_at IS NULL AND who IS NOT NULL;
CREATE INDEX domains_by_text ON domains (name) WHERE deleted_at IS NULL AND source = 'text';
-- It served a count, which is kept from here on.
DROP INDEX domains_waiting_for_budget;

CREATE INDEX certificates_by_sha256 ON certificates (sha256);
CREATE INDEX certificates_by_serial ON certificates (serial);

-- Every name that is on the list, for searches: rows that never change, because a change of a row is one of all its
-- indexes, and those of these searches are large.
CREATE TABLE domain_names (
    name text COLLATE "C" PRIMARY KEY
);

INSERT INTO domain_names (name) SELECT name FROM domains WHERE deleted_at IS NULL;

CREATE INDEX domain_names_by_part ON domain_names USING gin (name gin_trgm_ops) WITH (gin_pending_list_limit = 256);
CREATE INDEX domain_names_by_end ON domain_names (reverse(name));

CREATE FUNCTION name_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL THEN
        DELETE FROM domain_names WHERE name = OLD.name;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN
        INSERT INTO domain_names (name) VALUES (NEW.name);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_named AFTER INSERT OR DELETE ON domains FOR EACH ROW EXECUTE FUNCTION name_domain();
CREATE TRIGGER domains_renamed AFTER UPDATE ON domains FOR EACH ROW
    WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION name_domain();

-- How many domains are on the list: per status, and of those that `counted_as` names. A change appends what it changes, or
-- all transactions would wait for each other; the scheduler folds that into `domain_counts`. The figure is the sum of both.
CREATE TABLE domain_counts (
    what    text COLLATE "C" PRIMARY KEY,
    domains bigint NOT NULL
);

CREATE TABLE domain_count_changes (
    what    text COLLATE "C" NOT NULL,
    domains bigint NOT NULL
);

ALTER TABLE domain_count_changes SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION counted_as(d domains) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN d.deleted_at IS NULL AND d.name IS NOT NULL THEN array_remove(ARRAY[
        d.status,
        CASE WHEN d.status = 'Success' AND d.block IS NOT NULL THEN 'renewal_blocked' END,
        CASE WHEN d.activity = 'waiting_for_budget' THEN 'waiting_for_budget' END], NULL) END
$$;

CREATE FUNCTION count_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO domain_count_changes (what, domains)
    SELECT what, sum(change) FROM (
        SELECT unnest(counted_as(OLD)) AS what, -1 AS change
        UNION ALL SELECT unnest(counted_as(NEW)), 1) AS changes
    GROUP BY what HAVING sum(change) <> 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_counted AFTER INSERT OR DELETE ON domains FOR EACH ROW EXECUTE FUNCTION count_domain();
CREATE TRIGGER domains_recounted AFTER UPDATE ON domains FOR EACH ROW
    WHEN (OLD.status <> NEW.status OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)
        OR (OLD.block IS NULL) <> (NEW.block IS NULL)
        OR (OLD.activity = 'waiting_for_budget') <> (NEW.activity = 'waiting_for_budget'))
    EXECUTE FUNCTION count_domain();

INSERT INTO domain_counts (what, domains)
SELECT what, count(*) FROM domains d, unnest(counted_as(d)) AS what GROUP BY what;
