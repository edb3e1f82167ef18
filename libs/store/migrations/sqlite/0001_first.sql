-- The schema on SQLite. postgres/0001_first.sql has the same tables, columns, constraints and indexes in the same
-- order. Where the two differ, a comment that begins with "SQLite:" or "PostgreSQL:" says why.
--
-- SQLite: times are INTEGER (microseconds since 1970, UTC), ids TEXT (UUIDs with hyphens), reasons TEXT (JSON) and
-- booleans INTEGER (0 or 1), because SQLite has no types for them. All numbers are INTEGER, all bytes are BLOB.
-- SQLite: text is compared byte by byte, which is the default.
-- SQLite: WITHOUT ROWID where rows are small and their key is text: a lookup then costs one tree instead of two.

-- Rows are counters: `position` is the number of the latest change, `lease_token` the latest fencing token.
-- Triggers on `domains`, `work` and `messages` raise them (end of this file).
-- SQLite: instead of the table `numbered` and the sequence `lease_token`, because there is one writer at a time.
CREATE TABLE counters (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

INSERT INTO counters (name, value) VALUES ('position', 0), ('lease_token', 0);

-- One row: the oldest release of the schema (the number of its last migration) whose programs may work on this one. A
-- migration that an older program could not live with raises it: see docs/adr/0024-schemas-that-run-together.md.
CREATE TABLE schema_compatibility (
    compatible_from INTEGER NOT NULL
) STRICT;

INSERT INTO schema_compatibility (compatible_from) VALUES (1);

-- Rows are names, one each; a deleted name keeps its row. The api, the issuer, the c4-uploader and the scheduler write
-- them. `revision` rises with every request for the name, `version` with every write, `upload_revision` with every
-- upload or removal (odd), and with a comparison that uploads the live certificate again (even).
CREATE TABLE domains (
    name                    TEXT    PRIMARY KEY,
    revision                INTEGER NOT NULL CHECK (revision > 0),
    version                 INTEGER NOT NULL,
    source                  TEXT    NOT NULL CHECK (source IN ('c4', 'text')),
    -- The reference of the customer whom the name belongs to; NULL for none. Labels are rows of `domain_labels`.
    customer_ref            TEXT,
    created_at              INTEGER NOT NULL,
    deleted_at              INTEGER,
    -- When the keys of the name's certificates were destroyed after a delete.
    keys_destroyed_at       INTEGER,

    -- The facts that the status follows from. `missing_…`: C4 answered that it does not know the name.
    unknown_to_c4           INTEGER NOT NULL CHECK (unknown_to_c4 IN (0, 1)),
    missing_first_at        INTEGER,
    missing_last_at         INTEGER,
    missing_answers         INTEGER NOT NULL DEFAULT 0,
    -- Whether C4 last showed port 443, the customer's switch; 'off' is after it was on.
    https_switch            TEXT    NOT NULL DEFAULT 'unknown' CHECK (https_switch IN ('unknown', 'on', 'off')),
    -- Since when DNS fails for the name (SERVFAIL).
    dns_failing_since       INTEGER,
    upload_failing          TEXT,
    live_certificate_id     TEXT    REFERENCES certificates (id),
    live_not_after          INTEGER,
    block                   TEXT,

    -- The status and the party that must act, as of the last write; the present activity.
    status                  TEXT    NOT NULL
        CHECK (status IN ('Success', 'Pending', 'Failure', 'Discard', 'Expired', 'Emergency')),
    who                     TEXT    CHECK (who IN ('customer', 'cdn_operator', 'ca', 'us')),
    activity                TEXT    NOT NULL,
    -- Since when; NULL is since `created_at`.
    activity_since          INTEGER,
    -- Since when the name has needed a person, in its present status (ranks of attention up to 5), attempts to end that
    -- included; NULL if it needs none.
    attention_since         INTEGER,
    waiting                 TEXT,
    upload_revision         INTEGER NOT NULL,
    -- What C4 held when it was found to be ahead of this database (its SHA-256; NULL is nothing), when that was, and the
    -- name's revision then; no time is never.
    ahead_sha256            TEXT,
    ahead_found_at          INTEGER,
    ahead_revision          INTEGER,

    -- The certificate that was live before the present one, for a roll back.
    previous_certificate_id TEXT    REFERENCES certificates (id),
    -- Invalid challenges in a row, and the DNS answers at the latest of them.
    invalid_challenges      INTEGER NOT NULL DEFAULT 0,
    invalid_challenges_dns  TEXT    NOT NULL DEFAULT '',
    -- The day (YYYY-MM-DD) of the latest daily recheck that took the name; empty for none.
    rechecked_on            TEXT    NOT NULL DEFAULT '',

    changed_at              INTEGER NOT NULL,
    -- The number of the latest change.
    -- SQLite: NOT NULL, because the one writer numbers a change in its own transaction.
    position                INTEGER NOT NULL,

    -- Orders of the list.
    -- SQLite: computed columns are VIRTUAL, which costs no space; PostgreSQL 15 has STORED ones only.
    -- `attention` is the rank of `Domain`s by the time until visitors see a warning (libs/store/src/attention.rs).
    attention               INTEGER NOT NULL GENERATED ALWAYS AS (
        CASE status WHEN 'Emergency' THEN 1 WHEN 'Expired' THEN 2 WHEN 'Failure' THEN 4 WHEN 'Discard' THEN 5
            WHEN 'Pending' THEN CASE WHEN https_switch = 'off' THEN 9 ELSE 6 END
            ELSE CASE WHEN https_switch = 'off' THEN 8 WHEN block IS NOT NULL OR source = 'text' THEN 3 ELSE 7 END
        END) VIRTUAL,
    ends_at                 INTEGER NOT NULL
        GENERATED ALWAYS AS (coalesce(live_not_after, 9223372036854775807)) VIRTUAL,

    -- SQLite: the name backwards, for searches by its end, because SQLite has no function reverse(). The program
    -- writes it.
    reversed                TEXT    NOT NULL DEFAULT '',
    -- SQLite: the tallies that a name is part of, for the triggers and the filter of reasons; PostgreSQL has the functions
    -- `tallied_as` and `reason_code_of` for that.
    -- The reason is that of `Domain::reason`; the hour counts from 1970.
    is_renewal_blocked      INTEGER NOT NULL GENERATED ALWAYS AS (
        deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL) VIRTUAL,
    is_waiting_for_budget   INTEGER NOT NULL GENERATED ALWAYS AS (
        deleted_at IS NULL AND activity = 'waiting_for_budget') VIRTUAL,
    reason_code             TEXT GENERATED ALWAYS AS (
        CASE
            WHEN deleted_at IS NOT NULL THEN NULL
            WHEN unknown_to_c4 THEN 'unknown_to_c4'
            WHEN upload_failing IS NOT NULL THEN json_extract(upload_failing, '$.code')
            WHEN source = 'text' AND status = 'Expired' THEN 'pasted_ended'
            WHEN https_switch = 'off' THEN 'https_off'
            WHEN block IS NOT NULL THEN json_extract(block, '$.code')
            ELSE json_extract(waiting, '$.code')
        END) VIRTUAL,
    end_hour                INTEGER GENERATED ALWAYS AS (
        CASE WHEN deleted_at IS NULL AND status <> 'Expired' THEN live_not_after / 3600000000 END) VIRTUAL,

    CONSTRAINT domains_live_certificate CHECK ((live_certificate_id IS NULL) = (live_not_after IS NULL))
) STRICT;

-- Orders and filters of the list. Statements name them (INDEXED BY).
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
-- SQLite: by the computed column; on PostgreSQL by a function.
CREATE INDEX domains_by_reason ON domains (reason_code, name) WHERE deleted_at IS NULL AND reason_code IS NOT NULL;
CREATE INDEX domains_by_text ON domains (name) WHERE deleted_at IS NULL AND source = 'text';
CREATE INDEX domains_renewal_blocked ON domains (name)
    WHERE deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL;
-- SQLite: PostgreSQL has `domain_names_by_end` instead.
CREATE INDEX domains_by_end ON domains (reversed) WHERE deleted_at IS NULL;
-- Watchers of changes.
CREATE UNIQUE INDEX domains_by_position ON domains (position);
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
    name  TEXT NOT NULL REFERENCES domains (name),
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX domain_labels_by_value ON domain_labels (key, value, name);

-- Rows are our accounts at CAs. The issuer and `ssl-manager account` write them. `pending_key` is the next key during a
-- rollover: it is stored before the CA receives it (RFC 8555 section 7.3.5). Both keys are sealed
-- to `id` and `directory_url`.
CREATE TABLE accounts (
    id            TEXT    PRIMARY KEY,
    issuer        TEXT    NOT NULL,
    directory_url TEXT    NOT NULL,
    url           TEXT,
    sealed_key    BLOB    NOT NULL,
    pending_key   BLOB,
    created_at    INTEGER NOT NULL,
    UNIQUE (issuer, directory_url)
) STRICT;

-- Rows are certificates. The issuer writes ordered ones, their renewal and their revocation; the api writes pasted
-- ones; the c4-uploader writes the time of the first upload; the scheduler destroys the keys of deleted names.
CREATE TABLE certificates (
    id               TEXT    PRIMARY KEY,
    name             TEXT    NOT NULL REFERENCES domains (name),
    revision         INTEGER NOT NULL,
    source           TEXT    NOT NULL CHECK (source IN ('c4', 'text')),
    -- The account that ordered it; NULL for a pasted one.
    account_id       TEXT    REFERENCES accounts (id),
    issuer           TEXT    NOT NULL,
    serial           TEXT    NOT NULL,
    sha256           TEXT    NOT NULL,
    not_before       INTEGER NOT NULL,
    not_after        INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    uploaded_at      INTEGER,
    -- How many edges were asked for it, and served it, when it went live; 0 if none was asked.
    edges            INTEGER NOT NULL DEFAULT 0,
    -- The time of the renewal, and the window that the CA suggested for it (RFC 9773).
    renewal_at       INTEGER,
    window_start     INTEGER,
    window_end       INTEGER,
    -- Whether browsers trust a pasted one; NULL for a generated one.
    trust            TEXT    CHECK (trust IN ('public', 'intermediate_missing', 'private')),
    revoked_at       INTEGER,
    key_destroyed_at INTEGER,
    -- Large columns last: SQLite reads a row from its beginning.
    chain_pem        TEXT    NOT NULL,
    sealed_key       BLOB
) STRICT;

CREATE INDEX certificates_by_name ON certificates (name, not_after);
CREATE INDEX certificates_by_serial ON certificates (serial);
CREATE INDEX certificates_by_sha256 ON certificates (sha256);

-- Rows are work that is due for a name, one per kind, with the lease of the worker that does it. The api and the
-- scheduler make it due; the issuer and the c4-uploader claim, finish and reschedule it.
CREATE TABLE work (
    name           TEXT    NOT NULL REFERENCES domains (name),
    kind           TEXT    NOT NULL CHECK (kind IN ('issue', 'upload', 'remove', 'revoke')),
    revision       INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    certificate_id TEXT,
    attempts       INTEGER NOT NULL,
    due_at         INTEGER,
    hinted_at      INTEGER,
    lease_token    INTEGER NOT NULL,
    lease_until    INTEGER,
    -- The system whose pause it waits for; empty for none.
    paused_for     TEXT    NOT NULL DEFAULT '' CHECK (paused_for IN ('', 'ca', 'c4')),
    PRIMARY KEY (name, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX work_due ON work (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX work_of_midnight ON work (cause, due_at) WHERE cause = 'midnight';
CREATE INDEX work_paused ON work (paused_for) WHERE paused_for <> '';

-- Rows are outside systems to which nothing is sent until an operator lifts the pause. The api writes and deletes them;
-- every service that calls a CA or C4 reads them before each call.
CREATE TABLE pauses (
    target    TEXT    NOT NULL CHECK (target IN ('ca', 'c4')),
    -- The one CA; empty for all of them, and for C4.
    issuer    TEXT    NOT NULL,
    paused_by TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    PRIMARY KEY (target, issuer)
) STRICT, WITHOUT ROWID;

-- Rows are orders at a CA. The issuer writes them, and the api abandons them. Each state requires its columns; the key
-- is sealed to `certificate_id` and `name`, and is here only until the certificate is stored.
CREATE TABLE orders (
    id             TEXT    PRIMARY KEY,
    name           TEXT    NOT NULL REFERENCES domains (name),
    revision       INTEGER NOT NULL,
    account_id     TEXT    NOT NULL REFERENCES accounts (id),
    created_at     INTEGER NOT NULL,
    state          TEXT    NOT NULL
        CHECK (state IN ('created', 'placed', 'issued', 'failed', 'abandoned')),
    url            TEXT,
    certificate_id TEXT,
    csr            BLOB,
    sealed_key     BLOB,
    CONSTRAINT orders_created CHECK (state <> 'created' OR url IS NULL),
    CONSTRAINT orders_placed CHECK (state <> 'placed' OR url IS NOT NULL),
    CONSTRAINT orders_key CHECK (state NOT IN ('created', 'placed')
        OR (certificate_id IS NOT NULL AND sealed_key IS NOT NULL AND csr IS NOT NULL)),
    CONSTRAINT orders_issued CHECK (state <> 'issued' OR certificate_id IS NOT NULL),
    CONSTRAINT orders_sealed_key CHECK (state IN ('created', 'placed') OR (sealed_key IS NULL AND csr IS NULL))
) STRICT;

CREATE UNIQUE INDEX one_live_order_per_name ON orders (name) WHERE state IN ('created', 'placed');
CREATE INDEX orders_by_name ON orders (name);
CREATE INDEX live_orders_by_account ON orders (account_id) WHERE state IN ('created', 'placed');

-- Rows are challenge responses (RFC 8555 section 8.3). The issuer writes and deletes them, the api deletes those of an
-- abandoned order, and the challenge-responder reads them.
CREATE TABLE challenges (
    host              TEXT    NOT NULL,
    token             TEXT    NOT NULL,
    key_authorization TEXT    NOT NULL,
    order_id          TEXT    NOT NULL REFERENCES orders (id),
    created_at        INTEGER NOT NULL,
    PRIMARY KEY (host, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX challenges_by_order ON challenges (order_id);

-- Rows are responses to the rehearsal of a host's challenge path, one for an order's preflight and one for a check
-- (`asker`). The issuer and the api write and delete them within seconds; the challenge-responder reads them.
CREATE TABLE probes (
    host   TEXT NOT NULL,
    asker  TEXT NOT NULL,
    token  TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (host, asker)
) STRICT, WITHOUT ROWID;

-- Rows are revocations of certificates, requested or ended. The api requests them, and the issuer ends them. A
-- certificate with a row here never becomes live again, whatever the state is.
CREATE TABLE revocations (
    certificate_id TEXT    PRIMARY KEY REFERENCES certificates (id),
    name           TEXT    NOT NULL REFERENCES domains (name),
    reason         TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('asked', 'revoked', 'refused', 'ended')),
    requested_by   TEXT    NOT NULL,
    requested_at   INTEGER NOT NULL,
    -- A live certificate is revoked when its replacement is live, at this time at the latest.
    waits_until    INTEGER NOT NULL,
    -- The code of the reason that the history last gave for a missing replacement; empty for none.
    waiting_for    TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_by_name ON revocations (name);

-- Rows are events in a name's history. All services but the challenge-responder append them, in the transaction of the
-- change; a delete of the name keeps them.
-- SQLite: AUTOINCREMENT instead of an identity column; neither uses a number twice.
CREATE TABLE history (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    name               TEXT    NOT NULL,
    at                 INTEGER NOT NULL,
    kind               TEXT    NOT NULL,
    actor              TEXT    NOT NULL,
    status_from        TEXT,
    status_to          TEXT    NOT NULL,
    message            TEXT    NOT NULL,
    certificate_sha256 TEXT
) STRICT;

CREATE INDEX history_by_name ON history (name, id);

-- Rows are events to publish (outbox). All services but the challenge-responder insert them, in the transaction of the
-- change; the bus leases and deletes them. `trace_parent` is a W3C `traceparent`.
CREATE TABLE messages (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    trace_parent TEXT,
    created_at   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    lease_token  INTEGER NOT NULL DEFAULT 0,
    lease_until  INTEGER,
    dead_reason  TEXT
) STRICT;

CREATE INDEX messages_waiting ON messages (kind, sequence) WHERE dead_reason IS NULL;

-- Rows are days (YYYY-MM-DD) whose daily recheck is complete. The scheduler writes and, after a year, deletes them.
CREATE TABLE rechecked_days (
    day          TEXT    PRIMARY KEY,
    completed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows are domains of a day's daily recheck: in which status each was asked, and what came out. The scheduler writes them
-- and, after 30 days, deletes them; the step that decides one writes its outcome.
CREATE TABLE midnights (
    day           TEXT    NOT NULL,
    name          TEXT    NOT NULL REFERENCES domains (name),
    outcome       TEXT    NOT NULL CHECK (outcome IN ('waiting', 'works', 'changed', 'unchanged', 'deleted')),
    status_before TEXT    NOT NULL,
    reason_before TEXT    NOT NULL,
    status_after  TEXT,
    reason_after  TEXT    NOT NULL,
    decided_at    INTEGER,
    PRIMARY KEY (day, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX midnights_by_outcome ON midnights (day, outcome, name);
CREATE INDEX midnights_waiting ON midnights (name) WHERE outcome = 'waiting';

-- Rows are notes of staff on a name. The api writes and deletes them.
CREATE TABLE notes (
    id     TEXT    PRIMARY KEY,
    name   TEXT    NOT NULL REFERENCES domains (name),
    at     INTEGER NOT NULL,
    author TEXT    NOT NULL,
    text   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX notes_by_name ON notes (name, at);

-- Rows are jobs: one kind of work over a list of names. The api writes them; the scheduler deletes them 30 days after
-- their end. `owner` is the principal in whose name the work is done, and `credential` the hash of the token that the job
-- was created with, so that the rights can be asked for again. `end_code`: why it ended early; empty for not. `line_count`
-- counts its rows of `job_lines`, and `counts` those of each outcome (`done 3,failed 1`), as of when a copy last gave the job
-- back. The lease is of the copy of the api that works on it; `served_at` is when a copy last took it or gave it back.
CREATE TABLE jobs (
    id          TEXT    PRIMARY KEY,
    kind        TEXT    NOT NULL CHECK (kind IN ('add', 'recheck', 'delete', 'generate', 'reissue', 'label')),
    state       TEXT    NOT NULL
        CHECK (state IN ('receiving', 'draft', 'queued', 'running', 'done', 'cancelled', 'stopped')),
    owner       TEXT    NOT NULL,
    credential  BLOB    NOT NULL,
    peer        TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    parameters  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    started_at  INTEGER,
    ended_at    INTEGER,
    end_code    TEXT    NOT NULL,
    ended_by    TEXT    NOT NULL,
    line_count  INTEGER NOT NULL,
    counts      TEXT    NOT NULL,
    served_at   INTEGER NOT NULL,
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX jobs_by_request ON jobs (owner, request_id) WHERE request_id <> '';
CREATE INDEX jobs_by_creation ON jobs (created_at, id);
CREATE INDEX jobs_to_run ON jobs (served_at, lease_token) WHERE state IN ('queued', 'running');

-- Rows are lines of jobs, in the order in which they were sent (`position`, from 1). `line` is where the text was in what
-- the sender read it from. The api writes them; the scheduler deletes them with their job. `message` is for the customer.
CREATE TABLE job_lines (
    job_id        TEXT    NOT NULL REFERENCES jobs (id),
    position      INTEGER NOT NULL CHECK (position > 0),
    line          INTEGER NOT NULL,
    text          TEXT    NOT NULL,
    outcome       TEXT    NOT NULL CHECK (outcome IN ('waiting', 'asked', 'works', 'unchanged', 'changed',
        'unknown', 'done', 'already', 'failed', 'refused', 'repeated')),
    code          TEXT    NOT NULL,
    sentence      TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    status_before TEXT,
    reason_before TEXT    NOT NULL,
    acted_at      INTEGER,
    PRIMARY KEY (job_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_lines_by_outcome ON job_lines (job_id, outcome, position);

-- Rows are rate limits of CAs: `at` is the time up to which a limit is used (GCRA), or the last place in its queue. The
-- issuer writes them in the transaction of the order; the scheduler deletes those that were unused for a week.
CREATE TABLE buckets (
    key TEXT    PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX buckets_by_time ON buckets (at);

-- Rows are reservations: an order may still be counted in a bucket of a limit that its CA counts when it issues. The issuer
-- writes them with the order and deletes them with its end; so does the api where it abandons one. An order that ended
-- while its CA may have issued gives its rows that time (`spent_at`), and the issuer adds them to the bucket when it next
-- looks at it. The scheduler deletes what was never looked at again.
CREATE TABLE reservations (
    bucket   TEXT    NOT NULL,
    order_id TEXT    NOT NULL REFERENCES orders (id),
    spent_at INTEGER,
    PRIMARY KEY (bucket, order_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservations_by_order ON reservations (order_id);

-- Rows are API tokens; the text of a token is not stored. `ssl-manager token` and the api write them, and the api
-- writes the time of the last use. `roles`, here and below: one or more, with commas between them. `mac`, here and below: HMAC-SHA-256 of
-- the row by a key that is derived from the sealing key; a row whose MAC does not fit counts as absent.
CREATE TABLE tokens (
    name         TEXT    PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    roles        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    mac          BLOB    NOT NULL
) STRICT;

-- Rows are people who sign in to the console. `ssl-manager user` and the api write them. The password is an Argon2id hash
-- in PHC form; before that of a temporary password stands `temporary:`, the second of 1970 in which it ends, and a colon.
-- NULL for people who are disabled.
CREATE TABLE users (
    name          TEXT    PRIMARY KEY,
    roles         TEXT    NOT NULL,
    password_hash TEXT,
    created_at    INTEGER NOT NULL,
    mac           BLOB    NOT NULL
) STRICT;

-- Rows are sessions of the console, by the hash of the browser's token. The api writes them, and the scheduler deletes
-- expired ones. A session belongs to a row of `users`, or to a person whom an OpenID provider authenticated: then it
-- has the name and the roles of the sign-in.
CREATE TABLE sessions (
    hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    user_name  TEXT    REFERENCES users (name) ON DELETE CASCADE,
    person     TEXT,
    roles      TEXT,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    mac        BLOB    NOT NULL,
    CONSTRAINT sessions_of_one CHECK ((user_name IS NULL) <> (person IS NULL) AND (person IS NULL) = (roles IS NULL))
) STRICT;

CREATE INDEX sessions_of_user ON sessions (user_name);
CREATE INDEX sessions_of_person ON sessions (person) WHERE person IS NOT NULL;
CREATE INDEX sessions_ending ON sessions (expires_at);

-- Rows are ID tokens that were used for a sign-in, by their hash, so that each is valid once. The api writes them in
-- the transaction of the sign-in, and deletes those whose token has expired.
CREATE TABLE used_id_tokens (
    hash         BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    forget_after INTEGER NOT NULL
) STRICT;

CREATE INDEX used_id_tokens_forget_after ON used_id_tokens (forget_after);

-- Rows are calls: who, from where, what, with which result. The api and the commands of `ssl-manager` append them in
-- the transaction of the call. Within a second the scheduler adds the next number and a hash over the row before and
-- this one.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    peer       TEXT    NOT NULL,
    call       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    sequence   INTEGER UNIQUE CHECK (sequence > 0),
    hash       BLOB    CHECK (length(hash) = 32),
    CONSTRAINT audit_chained CHECK ((sequence IS NULL) = (hash IS NULL))
) STRICT;

CREATE INDEX audit_unchained ON audit (id) WHERE sequence IS NULL;
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_time ON audit (at, id);

-- One row: number and hash of the last chained row of `audit`. The scheduler writes it.
CREATE TABLE audit_head (
    sequence INTEGER NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

INSERT INTO audit_head (sequence, hash) VALUES (0, zeroblob(32));

-- One row: number and hash of the row of `audit` up to which the api has followed the chain, when it last did, and a MAC
-- over that by a key that is derived from the sealing key; the MAC is empty before the first time. The api writes it.
CREATE TABLE audit_mark (
    sequence  INTEGER NOT NULL,
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    signed_at INTEGER NOT NULL,
    mac       BLOB    NOT NULL
) STRICT;

INSERT INTO audit_mark (sequence, hash, signed_at, mac) VALUES (0, zeroblob(32), 0, zeroblob(0));

-- One row: whether C4 showed that this database is older than what it holds, as after a restore from a backup. Raised and
-- not released, it keeps every certificate from being sent until all names were compared, or an operator released it. The
-- c4-uploader and `ssl-manager restore accept` write it.
CREATE TABLE restore_guard (
    raised_at   INTEGER,
    -- The name of which C4 holds a newer certificate.
    evidence    TEXT    NOT NULL,
    -- The comparison has got to this name.
    compared_to TEXT    NOT NULL,
    released_at INTEGER
) STRICT;

INSERT INTO restore_guard (evidence, compared_to) VALUES ('', '');

-- Rows are endpoints of webhooks. The api writes them, and the notifier how deliveries went. `url` is the URL
-- without path and query; `sealed_target` is the whole one and the secret that signs, sealed under the notifier's own key to
-- `id` and `url`, so nobody who writes rows makes it send elsewhere. `kinds`: one or more, with commas
-- between them.
CREATE TABLE endpoints (
    id            TEXT    PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    url           TEXT    NOT NULL,
    sealed_target BLOB    NOT NULL,
    kinds         TEXT    NOT NULL,
    labels        TEXT    NOT NULL,
    format        TEXT    NOT NULL CHECK (format IN ('json', 'slack')),
    digest        INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('enabled', 'disabled', 'failed')),
    state_reason  TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    created_by    TEXT    NOT NULL,
    failing_since INTEGER,
    refusing_since INTEGER,
    failures      INTEGER NOT NULL,
    retry_at      INTEGER,
    last_error    TEXT    NOT NULL,
    delivered_at  INTEGER
) STRICT;

-- Rows are notices to be told by webhooks. Each role that changes domains appends them in the transaction of the change, the
-- notifier those that follow from time alone. The notifier takes them (`handled_at`); the scheduler deletes them. Of the same
-- kind, subject and mark there is one; the mark of one that does not hold any more when it is due is cleared.
CREATE TABLE notices (
    id           TEXT    PRIMARY KEY,
    kind         TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    mark         TEXT    NOT NULL,
    customer_ref TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    status       TEXT,
    reason       TEXT,
    days         INTEGER,
    ends_at      INTEGER,
    handled_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX notices_once ON notices (kind, subject, mark) WHERE mark <> '';
CREATE INDEX notices_due ON notices (due_at, id) WHERE handled_at IS NULL;
CREATE INDEX notices_taken ON notices (handled_at) WHERE mark = '';
CREATE INDEX notices_by_time ON notices (at);

-- Rows are requests to endpoints, each with one notice or a digest of several. The notifier writes them; the api makes those
-- of a test, and makes one due again. A digest takes notices while it is 'open'. 'refused': the endpoint refused it
-- too often, so it is not sent any more (`ended_at`).
CREATE TABLE deliveries (
    id          TEXT    PRIMARY KEY,
    endpoint_id TEXT    NOT NULL REFERENCES endpoints (id),
    kind        TEXT    NOT NULL,
    digest_key  TEXT    NOT NULL,
    events      INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('open', 'waiting', 'delivered', 'refused')),
    created_at  INTEGER NOT NULL,
    ready_at    INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    refusals    INTEGER NOT NULL,
    http_status INTEGER,
    last_error  TEXT    NOT NULL,
    ended_at    INTEGER,
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER
) STRICT;

CREATE UNIQUE INDEX deliveries_open ON deliveries (endpoint_id, digest_key) WHERE state = 'open';
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, id) WHERE ended_at IS NULL;
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_by_time ON deliveries (created_at);

-- Rows are notices in deliveries: an endpoint gets each in one. `body` is what is told of it, JSON.
CREATE TABLE delivery_events (
    endpoint_id TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    delivery_id TEXT    NOT NULL REFERENCES deliveries (id),
    subject     TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    is_waiting  INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (endpoint_id, event_id)
) STRICT;

CREATE INDEX delivery_events_of ON delivery_events (delivery_id, event_id);
CREATE INDEX delivery_events_waiting ON delivery_events (endpoint_id, subject) WHERE is_waiting;

-- Rows are names, for searches by a part of the name (trigrams). A trigger writes them.
-- SQLite: FTS5, because SQLite has no index on trigrams. It also has the deleted names, because it can find a row to
-- delete by its number only. It is no index on `domains` itself: VACUUM may change the row numbers there.
CREATE VIRTUAL TABLE domain_names USING fts5 (name, tokenize = 'trigram', detail = 'none');

CREATE TRIGGER domains_names_insert AFTER INSERT ON domains BEGIN
    INSERT INTO domain_names (name) VALUES (new.name);
END;

-- Rows are the figures of list and overview. `domains`: by status, and 'renewal_blocked' and 'waiting_for_budget'.
-- `reason`: domains by the code of their reason. `ends`: domains by the hour (since 1970) in which the live certificate
-- ends. `issued`, `failed`, `rechecked`: certificates, orders and domains by day (YYYY-MM-DD).
-- SQLite: triggers on `domains`, the issuer and the scheduler add to the figures themselves, because there is one
-- writer at a time; PostgreSQL has the table `tally_changes` for that.
CREATE TABLE tallies (
    what   TEXT    NOT NULL CHECK (what IN ('domains', 'reason', 'ends', 'issued', 'failed', 'rechecked')),
    key    TEXT    NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (what, key)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER domains_tally_insert AFTER INSERT ON domains BEGIN
    INSERT INTO tallies (what, key, amount)
    SELECT 'domains', new.status, 1 WHERE new.deleted_at IS NULL
    UNION ALL SELECT 'domains', 'renewal_blocked', 1 WHERE new.is_renewal_blocked
    UNION ALL SELECT 'domains', 'waiting_for_budget', 1 WHERE new.is_waiting_for_budget
    UNION ALL SELECT 'reason', new.reason_code, 1 WHERE new.reason_code IS NOT NULL
    UNION ALL SELECT 'ends', new.end_hour, 1 WHERE new.end_hour IS NOT NULL
    ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

CREATE TRIGGER domains_tally_update
AFTER UPDATE OF status, deleted_at, live_not_after, source, unknown_to_c4, https_switch, upload_failing, block, waiting,
    activity
ON domains
WHEN (old.status, old.deleted_at IS NULL, old.is_renewal_blocked, old.is_waiting_for_budget, old.reason_code,
        old.end_hour)
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

CREATE TRIGGER domains_tally_delete AFTER DELETE ON domains BEGIN
    INSERT INTO tallies (what, key, amount)
    SELECT 'domains', old.status, -1 WHERE old.deleted_at IS NULL
    UNION ALL SELECT 'domains', 'renewal_blocked', -1 WHERE old.is_renewal_blocked
    UNION ALL SELECT 'domains', 'waiting_for_budget', -1 WHERE old.is_waiting_for_budget
    UNION ALL SELECT 'reason', old.reason_code, -1 WHERE old.reason_code IS NOT NULL
    UNION ALL SELECT 'ends', old.end_hour, -1 WHERE old.end_hour IS NOT NULL
    ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount;
END;

-- SQLite: these triggers raise `counters`. A statement that needs the next number reads the counter and adds 1; the
-- trigger stores the number in the same statement, so no number is used twice.
CREATE TRIGGER domains_position_insert AFTER INSERT ON domains BEGIN
    UPDATE counters SET value = new.position WHERE name = 'position' AND value < new.position;
END;

CREATE TRIGGER domains_position_update AFTER UPDATE OF position ON domains BEGIN
    UPDATE counters SET value = new.position WHERE name = 'position' AND value < new.position;
END;

CREATE TRIGGER work_lease_token_insert AFTER INSERT ON work BEGIN
    UPDATE counters SET value = new.lease_token WHERE name = 'lease_token' AND value < new.lease_token;
END;

CREATE TRIGGER work_lease_token_update AFTER UPDATE OF lease_token ON work BEGIN
    UPDATE counters SET value = new.lease_token WHERE name = 'lease_token' AND value < new.lease_token;
END;

CREATE TRIGGER messages_lease_token_update AFTER UPDATE OF lease_token ON messages BEGIN
    UPDATE counters SET value = new.lease_token WHERE name = 'lease_token' AND value < new.lease_token;
END;
