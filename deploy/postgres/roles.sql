-- Least privilege: one database role per service, each with what it needs and nothing else. `ssl-manager db migrate` runs
-- this file after the migrations where the owner of the tables may; otherwise run it as a superuser, as often as you like:
--   psql --set=ON_ERROR_STOP=1 --dbname=ssl_manager --file=roles.sql
-- It is one transaction: what an earlier version granted is taken back, and no role is without its rights in between.
-- Roles that are missing are made without a password; give them one each with `ALTER ROLE … PASSWORD`.

BEGIN;

DO $$
DECLARE
    role text;
BEGIN
    -- Two that run it together would change the same rows of the catalog.
    PERFORM pg_advisory_xact_lock(hashtext('ssl_manager roles.sql'));
    FOREACH role IN ARRAY ARRAY['ssl_manager_api', 'ssl_manager_issuer', 'ssl_manager_scheduler',
        'ssl_manager_uploader', 'ssl_manager_responder', 'ssl_manager_notifier'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- by somebody who migrates another database of this server
            END;
        END IF;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
        IF NOT has_database_privilege(role, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END IF;
        EXECUTE format('GRANT SELECT ON _sqlx_migrations, schema_compatibility TO %I', role);
    END LOOP;
END
$$;

-- Who changes domains also schedules work, writes history, and publishes.
GRANT SELECT, UPDATE ON domains
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;
GRANT SELECT, INSERT, UPDATE, DELETE ON work, messages
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;
GRANT INSERT ON history
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;
-- What webhooks tell of a change is stored with it.
GRANT INSERT ON notices
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;
-- What came out of a midnight is written by the step that decides it.
GRANT SELECT, UPDATE ON midnights
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;
-- A domain is read with its labels.
GRANT SELECT ON domain_labels TO ssl_manager_issuer, ssl_manager_uploader;
-- What a change of a domain changes in figures: triggers append it, on whoever's behalf.
GRANT INSERT ON tally_changes
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;
GRANT USAGE ON SEQUENCE lease_token
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;

-- Who calls a CA or C4 asks before each call whether it is paused; the scheduler brings work back that waited.
GRANT SELECT ON pauses TO ssl_manager_api, ssl_manager_issuer, ssl_manager_scheduler, ssl_manager_uploader;

-- api: adds names and pasted certificates, numbers changes, shows everything, abandons orders; sees sealed keys for an authorised download, but
-- no account key. Administrators manage people, sessions and tokens through it. With its password
-- alone no new row of `tokens`, `users` or `sessions` gets a MAC that fits, no earlier row of a user comes back (a trigger, with
-- `user_macs`, to which no role has a right), and no token can be deleted.
GRANT INSERT ON domains TO ssl_manager_api;
GRANT SELECT, INSERT, DELETE ON domain_labels, notes TO ssl_manager_api;
-- It keeps jobs and does their work, line by line.
GRANT SELECT, INSERT, UPDATE ON jobs, job_lines TO ssl_manager_api;
GRANT SELECT, UPDATE ON numbered TO ssl_manager_api;
GRANT SELECT ON history, buckets, rechecked_days, tallies, tally_changes TO ssl_manager_api;
GRANT SELECT, INSERT, DELETE ON domain_names TO ssl_manager_api;
GRANT SELECT, INSERT ON certificates TO ssl_manager_api;
GRANT SELECT, INSERT, UPDATE ON revocations TO ssl_manager_api;
-- It pauses and resumes (UPDATE: to lock the row).
GRANT INSERT, UPDATE, DELETE ON pauses TO ssl_manager_api;
GRANT SELECT, UPDATE ON orders TO ssl_manager_api;
-- What an order that it abandons had reserved of a CA's limits it gives back; it spends nothing.
GRANT SELECT, UPDATE, DELETE ON reservations TO ssl_manager_api;
GRANT SELECT, INSERT, UPDATE (last_used_at, revoked_at) ON tokens TO ssl_manager_api;
GRANT SELECT, DELETE ON challenges TO ssl_manager_api;
-- People sign in here, and administrators add, change, disable and delete them.
GRANT SELECT, INSERT, DELETE, UPDATE (roles, password_hash, mac) ON users TO ssl_manager_api;
GRANT SELECT, INSERT, DELETE, UPDATE (used_at) ON sessions TO ssl_manager_api;
GRANT SELECT, INSERT, DELETE ON used_id_tokens TO ssl_manager_api;

-- Administrators make endpoints of webhooks here, try them and have something sent again.
GRANT SELECT, INSERT, UPDATE, DELETE ON endpoints, deliveries, delivery_events TO ssl_manager_api;

-- A check asks what preflight asks: the challenge path by a probe of its own, CAA with the URL of our account.
GRANT SELECT, INSERT, UPDATE, DELETE ON probes TO ssl_manager_api;
GRANT SELECT (issuer, directory_url, url) ON accounts TO ssl_manager_api;

-- A line of the audit log is nobody's to change or remove, and its seal is not its writer's to give. The issuer writes one
-- when it registers an account again that the CA has lost, and the notifier when it switches an endpoint off.
GRANT INSERT (at, actor, peer, call, subject, outcome, detail, request_id) ON audit
    TO ssl_manager_api, ssl_manager_issuer, ssl_manager_notifier;

-- The api follows the chain of the audit log and signs its end; the scheduler, which makes the chain, cannot.
GRANT SELECT ON audit, audit_head TO ssl_manager_api;
GRANT SELECT, UPDATE ON audit_mark TO ssl_manager_api;

-- issuer: account keys, orders, challenges, new certificates and when they are renewed, what became of revocations, the
-- ledger of CAs' limits.
GRANT SELECT, INSERT, UPDATE ON accounts, orders TO ssl_manager_issuer;
GRANT SELECT, INSERT, UPDATE, DELETE ON challenges, probes TO ssl_manager_issuer;
GRANT SELECT, INSERT, UPDATE (renewal_at, window_start, window_end, revoked_at) ON certificates TO ssl_manager_issuer;
GRANT SELECT, UPDATE (state, waiting_for) ON revocations TO ssl_manager_issuer;
GRANT SELECT, INSERT, UPDATE ON buckets TO ssl_manager_issuer;
GRANT SELECT, INSERT, UPDATE, DELETE ON reservations TO ssl_manager_issuer;

-- c4-uploader: what it uploads.
GRANT SELECT, UPDATE ON certificates TO ssl_manager_uploader;
-- What a CA's list says is revoked it notes as such.
GRANT SELECT, INSERT, UPDATE ON revocations TO ssl_manager_uploader;
-- It raises the guard after a restore, and releases it once everything was compared.
GRANT SELECT, UPDATE ON restore_guard TO ssl_manager_uploader;

-- scheduler: the days of the daily recheck, the seals of the audit log, the figures of list and overview, and nothing secret.
GRANT SELECT, INSERT, DELETE ON rechecked_days TO ssl_manager_scheduler;
GRANT INSERT, DELETE ON midnights TO ssl_manager_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON tallies, tally_changes TO ssl_manager_scheduler;
GRANT SELECT, UPDATE (sequence, hash) ON audit TO ssl_manager_scheduler;
GRANT SELECT, UPDATE ON audit_head TO ssl_manager_scheduler;
-- It looks for pasted certificates that end, destroys the keys of deleted names without reading one, and forgets sessions that ended and buckets that are full
-- again (UPDATE: to lock those that it deletes).
GRANT SELECT (id, name, source, key_destroyed_at), UPDATE (sealed_key, key_destroyed_at) ON certificates TO ssl_manager_scheduler;
GRANT SELECT (expires_at), DELETE ON sessions TO ssl_manager_scheduler;
-- Jobs are deleted with their lines; what they say it need not read.
GRANT SELECT (id, state, created_at, ended_at), DELETE ON jobs TO ssl_manager_scheduler;
GRANT SELECT (job_id, position), DELETE ON job_lines TO ssl_manager_scheduler;
GRANT SELECT, UPDATE, DELETE ON buckets, reservations TO ssl_manager_scheduler;

-- It deletes notices that are of no use any more (UPDATE: to lock them).
GRANT SELECT, UPDATE, DELETE ON notices TO ssl_manager_scheduler;

-- notifier: reads domains, and what the midnight report says; makes and sends deliveries, and stores how that went. It changes
-- no domain, and sees no key but the sealed secrets of webhooks.
GRANT SELECT ON domains, domain_labels, rechecked_days, midnights, tallies, tally_changes TO ssl_manager_notifier;
GRANT SELECT, INSERT, UPDATE ON notices TO ssl_manager_notifier;
GRANT SELECT, UPDATE ON endpoints TO ssl_manager_notifier;
GRANT SELECT, INSERT, UPDATE, DELETE ON deliveries, delivery_events TO ssl_manager_notifier;

-- challenge-responder: reads challenges and the probes of their path. It faces the internet.
GRANT SELECT ON challenges, probes TO ssl_manager_responder;

COMMIT;
