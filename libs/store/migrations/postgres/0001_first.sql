-- The schema on PostgreSQL. sqlite/0001_first.sql has the same tables, columns, constraints and indexes in the same
-- order. Where the two differ, a comment that begins with "SQLite:" or "PostgreSQL:" says why.
--
-- PostgreSQL: times are timestamptz, ids uuid, reasons jsonb and booleans boolean, because PostgreSQL has types for
-- them. Numbers are bigint, small ones integer; bytes are bytea.
-- PostgreSQL: names, keys and text in an index are COLLATE "C": compared byte by byte, as on SQLite and in the program,
-- and independent of the locales of the server.
-- PostgreSQL: fillfactor and autovacuum_… are for tables whose rows often change or are deleted.

-- Fencing tokens.
-- PostgreSQL: instead of the table `counters`, because a row would make all transactions wait for each other.
CREATE SEQUENCE lease_token;

-- One row: the number of the latest numbered change. The api writes it; the transaction that numbers changes locks it.
CREATE TABLE numbered (
    position bigint NOT NULL
);

INSERT INTO numbered (position) VALUES (0);

-- One row: the oldest release of the schema (the number of its last migration) whose programs may work on this one. A
-- migration that an older program could not live with raises it: see docs/adr/0024-schemas-that-run-together.md.
CREATE TABLE schema_compatibility (
    compatible_from bigint NOT NULL
);

INSERT INTO schema_compatibility (compatible_from) VALUES (1);

-- Rows are names, one each; a deleted name keeps its row. The api, the issuer, the c4-uploader and the scheduler write
-- them. `revision` rises with every request for the name, `version` with every write, `upload_revision` with every
-- upload or removal (odd), and with a comparison that uploads the live certificate again (even).
CREATE TABLE domains (
    name                    text        COLLATE "C" PRIMARY KEY,
    revision                bigint      NOT NULL CHECK (revision > 0),
    version                 bigint      NOT NULL,
    source                  text        NOT NULL CHECK (source IN ('c4', 'text')),
    -- The reference of the customer whom the name belongs to; NULL for none. Labels are rows of `domain_labels`.
    customer_ref            text        COLLATE "C",
    created_at              timestamptz NOT NULL,
    deleted_at              timestamptz,
    -- When the keys of the name's certificates were destroyed after a delete.
    keys_destroyed_at       timestamptz,

    -- The facts that the status follows from. `missing_…`: C4 answered that it does not know the name.
    unknown_to_c4           boolean     NOT NULL,
    missing_first_at        timestamptz,
    missing_last_at         timestamptz,
    missing_answers         integer     NOT NULL DEFAULT 0,
    -- Whether C4 last showed port 443, the customer's switch; 'off' is after it was on.
    https_switch            text        NOT NULL DEFAULT 'unknown' CHECK (https_switch IN ('unknown', 'on', 'off')),
    -- Since when DNS fails for the name (SERVFAIL).
    dns_failing_since       timestamptz,
    upload_failing          jsonb,
    -- PostgreSQL: the foreign keys of certificates are below, because that table must exist first.
    live_certificate_id     uuid,
    live_not_after          timestamptz,
    block                   jsonb,

    -- The status and the party that must act, as of the last write; the present activity.
    status                  text        COLLATE "C" NOT NULL
        CHECK (status IN ('Success', 'Pending', 'Failure', 'Discard', 'Expired', 'Emergency')),
    who                     text        COLLATE "C" CHECK (who IN ('customer', 'cdn_operator', 'ca', 'us')),
    activity                text        NOT NULL,
    -- Since when; NULL is since `created_at`.
    activity_since          timestamptz,
    -- Since when the name has needed a person, in its present status (ranks of attention up to 5), attempts to end that
    -- included; NULL if it needs none.
    attention_since         timestamptz,
    waiting                 jsonb,
    upload_revision         bigint      NOT NULL,
    -- What C4 held when it was found to be ahead of this database (its SHA-256; NULL is nothing), when that was, and the
    -- name's revision then; no time is never.
    ahead_sha256            text,
    ahead_found_at          timestamptz,
    ahead_revision          bigint,

    -- The certificate that was live before the present one, for a roll back.
    previous_certificate_id uuid,
    -- Invalid challenges in a row, and the DNS answers at the latest of them.
    invalid_challenges      integer     NOT NULL DEFAULT 0,
    invalid_challenges_dns  text        NOT NULL DEFAULT '',
    -- The day (YYYY-MM-DD) of the latest daily recheck that took the name; empty for none.
    rechecked_on            text        COLLATE "C" NOT NULL DEFAULT '',

    changed_at              timestamptz NOT NULL,
    -- The number of the latest change.
    -- PostgreSQL: NULL until a watcher asks for changes, so that a number never becomes visible after a higher one.
    position                bigint,

    -- Orders of the list.
    -- PostgreSQL: computed columns are STORED; version 15 has no VIRTUAL ones.
    -- `attention` is the rank of `Domain`s by the time until visitors see a warning (libs/store/src/attention.rs).
    attention               smallint    NOT NULL GENERATED ALWAYS AS (
        CASE status WHEN 'Emergency' THEN 1 WHEN 'Expired' THEN 2 WHEN 'Failure' THEN 4 WHEN 'Discard' THEN 5
            WHEN 'Pending' THEN CASE WHEN https_switch = 'off' THEN 9 ELSE 6 END
            ELSE CASE WHEN https_switch = 'off' THEN 8 WHEN block IS NOT NULL OR source = 'text' THEN 3 ELSE 7 END
        END) STORED,
    ends_at                 timestamptz NOT NULL
        GENERATED ALWAYS AS (coalesce(live_not_after, 'infinity')) STORED,

    CONSTRAINT domains_live_certificate CHECK ((live_certificate_id IS NULL) = (live_not_after IS NULL))
) WITH (fillfactor = 80);

-- Orders and filters of the list.
CREATE INDEX domains_listed ON domains (name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_status ON domains (status, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_creation ON domains (created_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_status_and_creation ON domains (status, created_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_expiry ON domains (ends_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_attention ON domains (attention, ends_at, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_who ON domains (who, attention, ends_at, name) WHERE deleted_at IS NULL AND who IS NOT NULL;
CREATE INDEX domains_by_attention_since ON domains (attention_since, name)
    WHERE deleted_at IS NULL AND attention_since IS NOT NULL;
CREATE INDEX domains_by_customer ON domains (customer_ref, name) WHERE deleted_at IS NULL AND customer_ref IS NOT NULL;
-- PostgreSQL: the code of a domain's reason, that of `Domain::reason`; SQLite has a computed column for that.
CREATE FUNCTION reason_code_of(unknown_to_c4 boolean, upload_failing jsonb, source text, status text, https_switch text,
    block jsonb, waiting jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN unknown_to_c4 THEN 'unknown_to_c4'
        WHEN upload_failing IS NOT NULL THEN upload_failing ->> 'code'
        WHEN source = 'text' AND status = 'Expired' THEN 'pasted_ended'
        WHEN https_switch = 'off' THEN 'https_off'
        WHEN block IS NOT NULL THEN block ->> 'code'
        ELSE waiting ->> 'code' END
$$;
CREATE INDEX domains_by_reason ON domains
    (reason_code_of(unknown_to_c4, upload_failing, source, status, https_switch, block, waiting), name)
    WHERE deleted_at IS NULL
        AND reason_code_of(unknown_to_c4, upload_failing, source, status, https_switch, block, waiting) IS NOT NULL;
CREATE INDEX domains_by_text ON domains (name) WHERE deleted_at IS NULL AND source = 'text';
CREATE INDEX domains_renewal_blocked ON domains (name)
    WHERE deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL;
-- Watchers of changes.
CREATE UNIQUE INDEX domains_by_position ON domains (position);
-- PostgreSQL: the changes that have no number yet.
CREATE INDEX domains_unnumbered ON domains (changed_at) WHERE position IS NULL;
-- Sweeps of the scheduler.
CREATE INDEX domains_ending ON domains (live_not_after) WHERE deleted_at IS NULL AND status = 'Success';
CREATE INDEX domains_pasted_ending ON domains (live_not_after)
    WHERE deleted_at IS NULL AND status = 'Success' AND source = 'text' AND waiting IS NULL;
CREATE INDEX domains_missing ON domains (missing_last_at)
    WHERE missing_last_at IS NOT NULL AND live_certificate_id IS NOT NULL;
CREATE INDEX domains_to_recheck ON domains (rechecked_on, name)
    WHERE deleted_at IS NULL AND source = 'c4' AND status IN ('Failure', 'Pending', 'Expired');
CREATE INDEX domains_with_keys_to_destroy ON domains (deleted_at)
    WHERE deleted_at IS NOT NULL AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at);

-- Rows are labels of names, the callers' own words. The api writes them.
CREATE TABLE domain_labels (
    name  text COLLATE "C" NOT NULL REFERENCES domains (name),
    key   text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (name, key)
);

CREATE INDEX domain_labels_by_value ON domain_labels (key, value, name);

-- Rows are our accounts at CAs. The issuer and `ssl-manager account` write them. `pending_key` is the next key during a
-- rollover: it is stored before the CA receives it (RFC 8555 section 7.3.5). Both keys are sealed
-- to `id` and `directory_url`.
CREATE TABLE accounts (
    id            uuid        PRIMARY KEY,
    issuer        text        COLLATE "C" NOT NULL,
    directory_url text        COLLATE "C" NOT NULL,
    url           text,
    sealed_key    bytea       NOT NULL,
    pending_key   bytea,
    created_at    timestamptz NOT NULL,
    UNIQUE (issuer, directory_url)
);

-- Rows are certificates. The issuer writes ordered ones, their renewal and their revocation; the api writes pasted
-- ones; the c4-uploader writes the time of the first upload; the scheduler destroys the keys of deleted names.
CREATE TABLE certificates (
    id               uuid        PRIMARY KEY,
    name             text        COLLATE "C" NOT NULL REFERENCES domains (name),
    revision         bigint      NOT NULL,
    source           text        NOT NULL CHECK (source IN ('c4', 'text')),
    -- The account that ordered it; NULL for a pasted one.
    account_id       uuid        REFERENCES accounts (id),
    issuer           text        NOT NULL,
    serial           text        COLLATE "C" NOT NULL,
    sha256           text        COLLATE "C" NOT NULL,
    not_before       timestamptz NOT NULL,
    not_after        timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    uploaded_at      timestamptz,
    -- How many edges were asked for it, and served it, when it went live; 0 if none was asked.
    edges            integer     NOT NULL DEFAULT 0,
    -- The time of the renewal, and the window that the CA suggested for it (RFC 9773).
    renewal_at       timestamptz,
    window_start     timestamptz,
    window_end       timestamptz,
    -- Whether browsers trust a pasted one; NULL for a generated one.
    trust            text        CHECK (trust IN ('public', 'intermediate_missing', 'private')),
    revoked_at       timestamptz,
    key_destroyed_at timestamptz,
    chain_pem        text        NOT NULL,
    sealed_key       bytea
);

CREATE INDEX certificates_by_name ON certificates (name, not_after);
CREATE INDEX certificates_by_serial ON certificates (serial);
CREATE INDEX certificates_by_sha256 ON certificates (sha256);

ALTER TABLE domains
    ADD FOREIGN KEY (live_certificate_id) REFERENCES certificates (id),
    ADD FOREIGN KEY (previous_certificate_id) REFERENCES certificates (id);

-- Rows are work that is due for a name, one per kind, with the lease of the worker that does it. The api and the
-- scheduler make it due; the issuer and the c4-uploader claim, finish and reschedule it.
CREATE TABLE work (
    name           text        COLLATE "C" NOT NULL REFERENCES domains (name),
    kind           text        COLLATE "C" NOT NULL CHECK (kind IN ('issue', 'upload', 'remove', 'revoke')),
    revision       bigint      NOT NULL,
    cause          text        COLLATE "C" NOT NULL,
    certificate_id uuid,
    attempts       integer     NOT NULL,
    due_at         timestamptz,
    hinted_at      timestamptz,
    lease_token    bigint      NOT NULL,
    lease_until    timestamptz,
    -- The system whose pause it waits for; empty for none.
    paused_for     text        COLLATE "C" NOT NULL DEFAULT '' CHECK (paused_for IN ('', 'ca', 'c4')),
    PRIMARY KEY (name, kind)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX work_due ON work (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX work_of_midnight ON work (cause, due_at) WHERE cause = 'midnight';
CREATE INDEX work_paused ON work (paused_for) WHERE paused_for <> '';

-- Rows are outside systems to which nothing is sent until an operator lifts the pause. The api writes and deletes them;
-- every service that calls a CA or C4 reads them before each call.
CREATE TABLE pauses (
    target    text        COLLATE "C" NOT NULL CHECK (target IN ('ca', 'c4')),
    -- The one CA; empty for all of them, and for C4.
    issuer    text        COLLATE "C" NOT NULL,
    paused_by text        NOT NULL,
    since     timestamptz NOT NULL,
    reason    text        NOT NULL,
    PRIMARY KEY (target, issuer)
);

-- Rows are orders at a CA. The issuer writes them, and the api abandons them. Each state requires its columns; the key
-- is sealed to `certificate_id` and `name`, and is here only until the certificate is stored.
CREATE TABLE orders (
    id             uuid        PRIMARY KEY,
    name           text        COLLATE "C" NOT NULL REFERENCES domains (name),
    revision       bigint      NOT NULL,
    account_id     uuid        NOT NULL REFERENCES accounts (id),
    created_at     timestamptz NOT NULL,
    state          text        NOT NULL
        CHECK (state IN ('created', 'placed', 'issued', 'failed', 'abandoned')),
    url            text,
    certificate_id uuid,
    csr            bytea,
    sealed_key     bytea,
    CONSTRAINT orders_created CHECK (state <> 'created' OR url IS NULL),
    CONSTRAINT orders_placed CHECK (state <> 'placed' OR url IS NOT NULL),
    CONSTRAINT orders_key CHECK (state NOT IN ('created', 'placed')
        OR (certificate_id IS NOT NULL AND sealed_key IS NOT NULL AND csr IS NOT NULL)),
    CONSTRAINT orders_issued CHECK (state <> 'issued' OR certificate_id IS NOT NULL),
    CONSTRAINT orders_sealed_key CHECK (state IN ('created', 'placed') OR (sealed_key IS NULL AND csr IS NULL))
);

CREATE UNIQUE INDEX one_live_order_per_name ON orders (name) WHERE state IN ('created', 'placed');
CREATE INDEX orders_by_name ON orders (name);
CREATE INDEX live_orders_by_account ON orders (account_id) WHERE state IN ('created', 'placed');

-- Rows are challenge responses (RFC 8555 section 8.3). The issuer writes and deletes them, the api deletes those of an
-- abandoned order, and the challenge-responder reads them.
CREATE TABLE challenges (
    host              text        COLLATE "C" NOT NULL,
    token             text        COLLATE "C" NOT NULL,
    key_authorization text        NOT NULL,
    order_id          uuid        NOT NULL REFERENCES orders (id),
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (host, token)
);

CREATE INDEX challenges_by_order ON challenges (order_id);

-- Rows are responses to the rehearsal of a host's challenge path, one for an order's preflight and one for a check
-- (`asker`). The issuer and the api write and delete them within seconds; the challenge-responder reads them.
CREATE TABLE probes (
    host   text COLLATE "C" NOT NULL,
    asker  text COLLATE "C" NOT NULL,
    token  text NOT NULL,
    answer text NOT NULL,
    PRIMARY KEY (host, asker)
);

-- Rows are revocations of certificates, requested or ended. The api requests them, and the issuer ends them. A
-- certificate with a row here never becomes live again, whatever the state is.
CREATE TABLE revocations (
    certificate_id uuid        PRIMARY KEY REFERENCES certificates (id),
    name           text        COLLATE "C" NOT NULL REFERENCES domains (name),
    reason         text        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('asked', 'revoked', 'refused', 'ended')),
    requested_by   text        NOT NULL,
    requested_at   timestamptz NOT NULL,
    -- A live certificate is revoked when its replacement is live, at this time at the latest.
    waits_until    timestamptz NOT NULL,
    -- The code of the reason that the history last gave for a missing replacement; empty for none.
    waiting_for    text        NOT NULL DEFAULT ''
);

CREATE INDEX revocations_by_name ON revocations (name);

-- Rows are events in a name's history. All services but the challenge-responder append them, in the transaction of the
-- change; a delete of the name keeps them.
-- PostgreSQL: an identity column instead of AUTOINCREMENT; neither uses a number twice.
CREATE TABLE history (
    id                 bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name               text        COLLATE "C" NOT NULL,
    at                 timestamptz NOT NULL,
    kind               text        NOT NULL,
    actor              text        NOT NULL,
    status_from        text,
    status_to          text        NOT NULL,
    message            text        NOT NULL,
    certificate_sha256 text
);

CREATE INDEX history_by_name ON history (name, id);

-- Rows are events to publish (outbox). All services but the challenge-responder insert them, in the transaction of the
-- change; the bus leases and deletes them. `trace_parent` is a W3C `traceparent`.
CREATE TABLE messages (
    sequence     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id           uuid        NOT NULL UNIQUE,
    kind         text        COLLATE "C" NOT NULL,
    subject      text        NOT NULL,
    name         text        COLLATE "C" NOT NULL,
    revision     bigint      NOT NULL,
    trace_parent text,
    created_at   timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    attempts     integer     NOT NULL DEFAULT 0,
    lease_token  bigint      NOT NULL DEFAULT 0,
    lease_until  timestamptz,
    dead_reason  text
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX messages_waiting ON messages (kind, sequence) WHERE dead_reason IS NULL;

-- Rows are days (YYYY-MM-DD) whose daily recheck is complete. The scheduler writes and, after a year, deletes them.
CREATE TABLE rechecked_days (
    day          text        COLLATE "C" PRIMARY KEY,
    completed_at timestamptz NOT NULL
);

-- Rows are domains of a day's daily recheck: in which status each was asked, and what came out. The scheduler writes them
-- and, after 30 days, deletes them; the step that decides one writes its outcome.
CREATE TABLE midnights (
    day           text        COLLATE "C" NOT NULL,
    name          text        COLLATE "C" NOT NULL REFERENCES domains (name),
    outcome       text        COLLATE "C" NOT NULL
        CHECK (outcome IN ('waiting', 'works', 'changed', 'unchanged', 'deleted')),
    status_before text        NOT NULL,
    reason_before text        NOT NULL,
    status_after  text,
    reason_after  text        NOT NULL,
    decided_at    timestamptz,
    PRIMARY KEY (day, name)
);

CREATE INDEX midnights_by_outcome ON midnights (day, outcome, name);
CREATE INDEX midnights_waiting ON midnights (name) WHERE outcome = 'waiting';

-- Rows are notes of staff on a name. The api writes and deletes them.
CREATE TABLE notes (
    id     uuid        PRIMARY KEY,
    name   text        COLLATE "C" NOT NULL REFERENCES domains (name),
    at     timestamptz NOT NULL,
    author text        NOT NULL,
    text   text        NOT NULL
);

CREATE INDEX notes_by_name ON notes (name, at);

-- Rows are jobs: one kind of work over a list of names. The api writes them; the scheduler deletes them 30 days after
-- their end. `owner` is the principal in whose name the work is done, and `credential` the hash of the token that the job
-- was created with, so that the rights can be asked for again. `end_code`: why it ended early; empty for not. `line_count`
-- counts its rows of `job_lines`, and `counts` those of each outcome (`done 3,failed 1`), as of when a copy last gave the job
-- back. The lease is of the copy of the api that works on it; `served_at` is when a copy last took it or gave it back.
CREATE TABLE jobs (
    id          uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('add', 'recheck', 'delete', 'generate', 'reissue', 'label')),
    state       text        NOT NULL
        CHECK (state IN ('receiving', 'draft', 'queued', 'running', 'done', 'cancelled', 'stopped')),
    owner       text        COLLATE "C" NOT NULL,
    credential  bytea       NOT NULL,
    peer        text        NOT NULL,
    request_id  text        COLLATE "C" NOT NULL,
    parameters  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    started_at  timestamptz,
    ended_at    timestamptz,
    end_code    text        NOT NULL,
    ended_by    text        NOT NULL,
    line_count  integer     NOT NULL,
    counts      text        NOT NULL,
    served_at   timestamptz NOT NULL,
    lease_token bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz
);

CREATE UNIQUE INDEX jobs_by_request ON jobs (owner, request_id) WHERE request_id <> '';
CREATE INDEX jobs_by_creation ON jobs (created_at, id);
CREATE INDEX jobs_to_run ON jobs (served_at, lease_token) WHERE state IN ('queued', 'running');

-- Rows are lines of jobs, in the order in which they were sent (`position`, from 1). `line` is where the text was in what
-- the sender read it from. The api writes them; the scheduler deletes them with their job. `message` is for the customer.
CREATE TABLE job_lines (
    job_id        uuid        NOT NULL REFERENCES jobs (id),
    position      integer     NOT NULL CHECK (position > 0),
    line          integer     NOT NULL,
    text          text        NOT NULL,
    outcome       text        COLLATE "C" NOT NULL CHECK (outcome IN ('waiting', 'asked', 'works', 'unchanged', 'changed',
        'unknown', 'done', 'already', 'failed', 'refused', 'repeated')),
    code          text        NOT NULL,
    sentence      text        NOT NULL,
    message       text        NOT NULL,
    status_before text,
    reason_before text        NOT NULL,
    acted_at      timestamptz,
    PRIMARY KEY (job_id, position)
);

CREATE INDEX job_lines_by_outcome ON job_lines (job_id, outcome, position);

-- Rows are rate limits of CAs: `at` is the time up to which a limit is used (GCRA), or the last place in its queue. The
-- issuer writes them in the transaction of the order; the scheduler deletes those that were unused for a week.
CREATE TABLE buckets (
    key text        COLLATE "C" PRIMARY KEY,
    at  timestamptz NOT NULL
);

CREATE INDEX buckets_by_time ON buckets (at);

-- Rows are reservations: an order may still be counted in a bucket of a limit that its CA counts when it issues. The issuer
-- writes them with the order and deletes them with its end; so does the api where it abandons one. An order that ended
-- while its CA may have issued gives its rows that time (`spent_at`), and the issuer adds them to the bucket when it next
-- looks at it. The scheduler deletes what was never looked at again.
CREATE TABLE reservations (
    bucket   text        COLLATE "C" NOT NULL,
    order_id uuid        NOT NULL REFERENCES orders (id),
    spent_at timestamptz,
    PRIMARY KEY (bucket, order_id)
);

CREATE INDEX reservations_by_order ON reservations (order_id);

-- Rows are API tokens; the text of a token is not stored. `ssl-manager token` and the api write them, and the api
-- writes the time of the last use. `roles`, here and below: one or more, with commas between them. `mac`, here and below: HMAC-SHA-256 of
-- the row by a key that is derived from the sealing key; a row whose MAC does not fit counts as absent.
CREATE TABLE tokens (
    name         text        COLLATE "C" PRIMARY KEY,
    hash         bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    roles        text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    mac          bytea       NOT NULL
);

-- PostgreSQL: a token stays revoked, though the api may write that it is.
CREATE FUNCTION keep_token_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a token stays revoked' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER tokens_stay_revoked BEFORE UPDATE ON tokens FOR EACH ROW
    WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION keep_token_revoked();

-- Rows are people who sign in to the console. `ssl-manager user` and the api write them. The password is an Argon2id hash
-- in PHC form; before that of a temporary password stands `temporary:`, the second of 1970 in which it ends, and a colon.
-- NULL for people who are disabled.
CREATE TABLE users (
    name          text        COLLATE "C" PRIMARY KEY,
    roles         text        NOT NULL,
    password_hash text,
    created_at    timestamptz NOT NULL,
    mac           bytea       NOT NULL
);

-- PostgreSQL: rows are the MACs that rows of `users` have or had. A trigger writes them, on the owner's behalf. A user's MAC is
-- another one after each change, and is taken once: so the api, which may change, delete and add users, cannot bring an
-- earlier row back. A key and not a query, which an old snapshot would answer as of then.
CREATE TABLE user_macs (
    mac bytea PRIMARY KEY
);

CREATE FUNCTION use_user_mac() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO user_macs (mac) VALUES (NEW.mac) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a row of a user stays replaced' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER users_stay_replaced_insert BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION use_user_mac();

CREATE TRIGGER users_stay_replaced_update BEFORE UPDATE ON users FOR EACH ROW
    WHEN (NEW.mac IS DISTINCT FROM OLD.mac) EXECUTE FUNCTION use_user_mac();

-- Rows are sessions of the console, by the hash of the browser's token. The api writes them, and the scheduler deletes
-- expired ones. A session belongs to a row of `users`, or to a person whom an OpenID provider authenticated: then it
-- has the name and the roles of the sign-in.
CREATE TABLE sessions (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32),
    user_name  text        COLLATE "C" REFERENCES users (name) ON DELETE CASCADE,
    person     text        COLLATE "C",
    roles      text,
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    mac        bytea       NOT NULL,
    CONSTRAINT sessions_of_one CHECK ((user_name IS NULL) <> (person IS NULL) AND (person IS NULL) = (roles IS NULL))
);

CREATE INDEX sessions_of_user ON sessions (user_name);
CREATE INDEX sessions_of_person ON sessions (person) WHERE person IS NOT NULL;
CREATE INDEX sessions_ending ON sessions (expires_at);

-- Rows are ID tokens that were used for a sign-in, by their hash, so that each is valid once. The api writes them in
-- the transaction of the sign-in, and deletes those whose token has expired.
CREATE TABLE used_id_tokens (
    hash         bytea       PRIMARY KEY CHECK (length(hash) = 32),
    forget_after timestamptz NOT NULL
);

CREATE INDEX used_id_tokens_forget_after ON used_id_tokens (forget_after);

-- Rows are calls: who, from where, what, with which result. The api and the commands of `ssl-manager` append them in
-- the transaction of the call. Within a second the scheduler adds the next number and a hash over the row before and
-- this one.
CREATE TABLE audit (
    id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL,
    actor      text        NOT NULL,
    peer       text        NOT NULL,
    call       text        NOT NULL,
    subject    text        COLLATE "C" NOT NULL,
    outcome    text        NOT NULL,
    detail     text        NOT NULL,
    request_id text        NOT NULL,
    sequence   bigint      UNIQUE CHECK (sequence > 0),
    hash       bytea       CHECK (length(hash) = 32),
    CONSTRAINT audit_chained CHECK ((sequence IS NULL) = (hash IS NULL))
);

CREATE INDEX audit_unchained ON audit (id) WHERE sequence IS NULL;
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_time ON audit (at, id);

-- One row: number and hash of the last chained row of `audit`. The scheduler writes it.
CREATE TABLE audit_head (
    sequence bigint NOT NULL,
    hash     bytea  NOT NULL CHECK (length(hash) = 32)
);

INSERT INTO audit_head (sequence, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- One row: number and hash of the row of `audit` up to which the api has followed the chain, when it last did, and a MAC
-- over that by a key that is derived from the sealing key; the MAC is empty before the first time. The api writes it.
CREATE TABLE audit_mark (
    sequence  bigint      NOT NULL,
    hash      bytea       NOT NULL CHECK (length(hash) = 32),
    signed_at timestamptz NOT NULL,
    mac       bytea       NOT NULL
);

INSERT INTO audit_mark (sequence, hash, signed_at, mac) VALUES (0, decode(repeat('00', 32), 'hex'), 'epoch', '');

-- One row: whether C4 showed that this database is older than what it holds, as after a restore from a backup. Raised and
-- not released, it keeps every certificate from being sent until all names were compared, or an operator released it. The
-- c4-uploader and `ssl-manager restore accept` write it.
CREATE TABLE restore_guard (
    raised_at   timestamptz,
    -- The name of which C4 holds a newer certificate.
    evidence    text        COLLATE "C" NOT NULL,
    -- The comparison has got to this name.
    compared_to text        COLLATE "C" NOT NULL,
    released_at timestamptz
);

INSERT INTO restore_guard (evidence, compared_to) VALUES ('', '');

-- Rows are endpoints of webhooks. The api writes them, and the notifier how deliveries went. `url` is the URL
-- without path and query; `sealed_target` is the whole one and the secret that signs, sealed under the notifier's own key to
-- `id` and `url`, so nobody who writes rows makes it send elsewhere. `kinds`: one or more, with commas
-- between them.
CREATE TABLE endpoints (
    id            uuid        PRIMARY KEY,
    name          text        COLLATE "C" NOT NULL UNIQUE,
    url           text        NOT NULL,
    sealed_target bytea       NOT NULL,
    kinds         text        NOT NULL,
    labels        jsonb       NOT NULL,
    format        text        NOT NULL CHECK (format IN ('json', 'slack')),
    digest        boolean     NOT NULL,
    state         text        NOT NULL CHECK (state IN ('enabled', 'disabled', 'failed')),
    state_reason  text        NOT NULL,
    created_at    timestamptz NOT NULL,
    created_by    text        NOT NULL,
    failing_since timestamptz,
    refusing_since timestamptz,
    failures      integer     NOT NULL,
    retry_at      timestamptz,
    last_error    text        NOT NULL,
    delivered_at  timestamptz
);

-- Rows are notices to be told by webhooks. Each role that changes domains appends them in the transaction of the change, the
-- notifier those that follow from time alone. The notifier takes them (`handled_at`); the scheduler deletes them. Of the same
-- kind, subject and mark there is one; the mark of one that does not hold any more when it is due is cleared.
CREATE TABLE notices (
    id           uuid        PRIMARY KEY,
    kind         text        COLLATE "C" NOT NULL,
    subject      text        COLLATE "C" NOT NULL,
    mark         text        COLLATE "C" NOT NULL,
    customer_ref text        NOT NULL,
    at           timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    status       text,
    reason       jsonb,
    days         integer,
    ends_at      timestamptz,
    handled_at   timestamptz
);

CREATE UNIQUE INDEX notices_once ON notices (kind, subject, mark) WHERE mark <> '';
CREATE INDEX notices_due ON notices (due_at, id) WHERE handled_at IS NULL;
CREATE INDEX notices_taken ON notices (handled_at) WHERE mark = '';
CREATE INDEX notices_by_time ON notices (at);

-- Rows are requests to endpoints, each with one notice or a digest of several. The notifier writes them; the api makes those
-- of a test, and makes one due again. A digest takes notices while it is 'open'. 'refused': the endpoint refused it
-- too often, so it is not sent any more (`ended_at`).
CREATE TABLE deliveries (
    id          uuid        PRIMARY KEY,
    endpoint_id uuid        NOT NULL REFERENCES endpoints (id),
    kind        text        NOT NULL,
    digest_key  text        COLLATE "C" NOT NULL,
    events      integer     NOT NULL,
    state       text        NOT NULL CHECK (state IN ('open', 'waiting', 'delivered', 'refused')),
    created_at  timestamptz NOT NULL,
    ready_at    timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    attempts    integer     NOT NULL,
    refusals    integer     NOT NULL,
    http_status integer,
    last_error  text        NOT NULL,
    ended_at    timestamptz,
    lease_token bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz
);

CREATE UNIQUE INDEX deliveries_open ON deliveries (endpoint_id, digest_key) WHERE state = 'open';
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, id) WHERE ended_at IS NULL;
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_by_time ON deliveries (created_at);

-- Rows are notices in deliveries: an endpoint gets each in one. `body` is what is told of it, JSON.
CREATE TABLE delivery_events (
    endpoint_id uuid    NOT NULL,
    event_id    uuid    NOT NULL,
    delivery_id uuid    NOT NULL REFERENCES deliveries (id),
    subject     text    COLLATE "C" NOT NULL,
    body        text    NOT NULL,
    is_waiting  boolean NOT NULL DEFAULT true,
    PRIMARY KEY (endpoint_id, event_id)
);

CREATE INDEX delivery_events_of ON delivery_events (delivery_id, event_id);
CREATE INDEX delivery_events_waiting ON delivery_events (endpoint_id, subject) WHERE is_waiting;

-- Rows are names, for searches by a part of the name (trigrams). A trigger writes them.
-- PostgreSQL: a table with a trigram index. It has the names on the list only, because searches count its rows. It is
-- no index on `domains` itself: each change of a row there would change it, too.
CREATE EXTENSION IF NOT EXISTS pg_trgm; -- trusted: the right to create in the database is enough

CREATE TABLE domain_names (
    name text COLLATE "C" PRIMARY KEY
);

CREATE INDEX domain_names_by_part ON domain_names USING gin (name gin_trgm_ops) WITH (gin_pending_list_limit = 256);
-- PostgreSQL: instead of the column `reversed` and its index `domains_by_end`.
CREATE INDEX domain_names_by_end ON domain_names (reverse(name));

-- PostgreSQL: one call for all rows that a statement inserts.
CREATE FUNCTION name_inserted_domains() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO domain_names (name) SELECT d.name FROM inserted AS d WHERE d.deleted_at IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_names_insert AFTER INSERT ON domains REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION name_inserted_domains();

-- PostgreSQL: a name that is deleted, or added again.
CREATE FUNCTION name_changed_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.deleted_at IS NULL THEN
        DELETE FROM domain_names WHERE name = OLD.name;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.deleted_at IS NULL THEN
        INSERT INTO domain_names (name) VALUES (NEW.name);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_names_update AFTER UPDATE ON domains FOR EACH ROW
    WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION name_changed_domain();

CREATE TRIGGER domains_names_delete AFTER DELETE ON domains FOR EACH ROW EXECUTE FUNCTION name_changed_domain();

-- Rows are the figures of list and overview. `domains`: by status, and 'renewal_blocked' and 'waiting_for_budget'.
-- `reason`: domains by the code of their reason. `ends`: domains by the hour (since 1970) in which the live certificate
-- ends. `issued`, `failed`, `rechecked`: certificates, orders and domains by day (YYYY-MM-DD).
-- PostgreSQL: the scheduler writes them, from `tally_changes`.
CREATE TABLE tallies (
    what   text   COLLATE "C" NOT NULL
        CHECK (what IN ('domains', 'reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    text   COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (what, key)
);

-- Rows are changes of figures. Triggers on `domains`, the issuer and the scheduler insert them; the scheduler adds them
-- to `tallies` and deletes them. A figure is the sum of its rows in both tables.
-- PostgreSQL: transactions that raised the same row of `tallies` would wait for each other.
CREATE TABLE tally_changes (
    what   text   COLLATE "C" NOT NULL
        CHECK (what IN ('domains', 'reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    text   COLLATE "C" NOT NULL,
    amount bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- PostgreSQL: the keys of the tallies that a name is part of, NULL where it is not part of one; SQLite has computed
-- columns for that, which would take space here. The hour counts from 1970.
-- PostgreSQL: an array and plpgsql, because a function in SQL that returns rows is planned at each call of a trigger.
CREATE FUNCTION tallied_as(d domains) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF d.deleted_at IS NOT NULL THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY[
        d.status,
        CASE WHEN d.status = 'Success' AND d.block IS NOT NULL THEN 'renewal_blocked' END,
        CASE WHEN d.activity = 'waiting_for_budget' THEN 'waiting_for_budget' END,
        reason_code_of(
            d.unknown_to_c4, d.upload_failing, d.source, d.status, d.https_switch, d.block, d.waiting),
        CASE WHEN d.status <> 'Expired'
            THEN floor(extract(epoch FROM d.live_not_after) / 3600)::bigint::text END];
END
$$;

-- PostgreSQL: the words of `what` for those keys.
CREATE FUNCTION tallied_kinds() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['domains', 'domains', 'domains', 'reason', 'ends']
$$;

-- PostgreSQL: one call for all rows that a statement inserts.
CREATE FUNCTION tally_inserted_domains() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tally_changes (what, key, amount)
    SELECT f.what, f.key, count(*)
    FROM inserted AS d, unnest(tallied_kinds(), tallied_as(ROW(d.*)::domains)) AS f (what, key)
    WHERE f.key IS NOT NULL GROUP BY f.what, f.key;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_tally_insert AFTER INSERT ON domains REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION tally_inserted_domains();

CREATE FUNCTION tally_changed_domain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kinds  CONSTANT text[] := tallied_kinds();
    before CONSTANT text[] := tallied_as(OLD);
    after  text[] := '{}';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        after := tallied_as(NEW);
    END IF;
    FOR place IN 1..cardinality(kinds) LOOP
        IF before[place] IS DISTINCT FROM after[place] THEN
            INSERT INTO tally_changes (what, key, amount)
            SELECT kinds[place], c.key, c.amount
            FROM (VALUES (before[place], -1), (after[place], 1)) AS c (key, amount) WHERE c.key IS NOT NULL;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER domains_tally_update AFTER UPDATE ON domains FOR EACH ROW
    WHEN ((OLD.status, OLD.deleted_at, OLD.live_not_after, OLD.source, OLD.unknown_to_c4, OLD.https_switch,
            OLD.upload_failing, OLD.block, OLD.waiting, OLD.activity = 'waiting_for_budget')
        IS DISTINCT FROM (NEW.status, NEW.deleted_at, NEW.live_not_after, NEW.source, NEW.unknown_to_c4, NEW.https_switch,
            NEW.upload_failing, NEW.block, NEW.waiting, NEW.activity = 'waiting_for_budget'))
    EXECUTE FUNCTION tally_changed_domain();

CREATE TRIGGER domains_tally_delete AFTER DELETE ON domains FOR EACH ROW EXECUTE FUNCTION tally_changed_domain();
