-- All figures in one place, kept in one way; and many names that one statement adds are counted by one statement.

ALTER TABLE tallies DROP CONSTRAINT tallies_what_check,
    ADD CONSTRAINT tallies_what_check CHECK (what IN ('domains', 'reason', 'ends', 'issued', 'failed', 'rechecked'));
ALTER TABLE tally_changes DROP CONSTRAINT tally_changes_what_check,
    ADD CONSTRAINT tally_changes_what_check CHECK (what IN ('domains', 'reason', 'ends', 'issued', 'failed', 'rechecked'));

-- Rows are folded by where they lie, and so need no number.
ALTER TABLE tally_changes DROP COLUMN id;

INSERT INTO tallies (what, key, amount)
SELECT 'domains', what, sum(domains) FROM (
    SELECT what, domains FROM domain_counts UNION ALL SELECT what, domains FROM domain_count_changes) AS c
GROUP BY what;

DROP TRIGGER domains_counted ON domains;
DROP TRIGGER domains_recounted ON domains;
DROP TRIGGER domains_tally ON domains;
DROP TRIGGER domains_named ON domains;
DROP FUNCTION count_domain, tally_domain, counted_as, reason_code_of, end_hour_of;
DROP TABLE domain_counts, domain_count_changes;

-- The tallies that a domain on the list is part of: of its status, and of two kinds that take more than a status to see
-- (what: domains); of its reason, as `Domain::reason` has it; of the hour in which its live certificate ends.
CREATE FUNCTION tallied_as(d domains) RETURNS TABLE (what text, key text) LANGUAGE sql IMMUTABLE AS $$
    SELECT f.what, f.key FROM (VALUES
        ('domains', d.status),
        ('domains', CASE WHEN d.status = 'Success' AND d.block IS NOT NULL THEN 'renewal_blocked' END),
        ('domains', CASE WHEN d.activity = 'waiting_for_budget' THEN 'waiting_for_budget' END),
        ('reason', CASE
            WHEN d.unknown_to_c4 THEN 'unknown_to_c4'
            WHEN d.upload_failing IS NOT NULL THEN d.upload_failing ->> 'code'
            WHEN d.source = 'text' AND d.status = 'Expired' THEN 'pasted_ended'
            WHEN d.block IS NOT NULL THEN d.block ->> 'code'
            ELSE d.waiting ->> 'code' END),
        ('ends', CASE WHEN d.status <> 'Expired'
            THEN floor(extract(epoch FROM d.live_not_after) / 3600)::bigint::text END)) AS f (what, key)
    WHERE d.deleted_at IS NULL AND f.key IS NOT NULL
$$;

CREATE FUNCTION tally_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tally_changes (what, key, amount)
    SELECT c.what, c.key, sum(c.amount) FROM (
        SELECT f.what, f.key, -1 AS amount FROM tallied_as(OLD) AS f
        UNION ALL SELECT f.what, f.key, 1 FROM tallied_as(NEW) AS f) AS c
    GROUP BY c.what, c.key HAVING sum(c.amount) <> 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_tallied AFTER UPDATE ON domains FOR EACH ROW
    WHEN ((OLD.status, OLD.deleted_at, OLD.live_not_after, OLD.source, OLD.unknown_to_c4, OLD.upload_failing, OLD.block,
            OLD.waiting, OLD.activity = 'waiting_for_budget')
        IS DISTINCT FROM (NEW.status, NEW.deleted_at, NEW.live_not_after, NEW.source, NEW.unknown_to_c4,
            NEW.upload_failing, NEW.block, NEW.waiting, NEW.activity = 'waiting_for_budget'))
    EXECUTE FUNCTION tally_domain();
CREATE TRIGGER domains_untallied AFTER DELETE ON domains FOR EACH ROW EXECUTE FUNCTION tally_domain();
CREATE TRIGGER domains_unnamed AFTER DELETE ON domains FOR EACH ROW EXECUTE FUNCTION name_domain();

CREATE FUNCTION add_domains() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tally_changes (what, key, amount)
    SELECT f.what, f.key, count(*) FROM added AS d, tallied_as(ROW(d.*)::domains) AS f GROUP BY f.what, f.key;
    INSERT INTO domain_names (name) SELECT d.name FROM added AS d WHERE d.deleted_at IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_added AFTER INSERT ON domains REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_domains();
