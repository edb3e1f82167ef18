-- Names are compared byte by byte, as everywhere else in the program.

CREATE SEQUENCE lease_token;

-- The highest number that a change was given. Whoever numbers changes locks it.
CREATE TABLE numbered (
    position bigint NOT NULL
);

INSERT INTO numbered (position) VALUES (0);

-- One row per name, for ever. A change leaves `position` empty; it is numbered when somebody asks for changes.
CREATE TABLE domains (
    name                text COLLATE "C" PRIMARY KEY,
    revision            bigint      NOT NULL CHECK (revision > 0),
    source              text        NOT NULL CHECK (source IN ('c4', 'text')),
    created_at          timestamptz NOT NULL,
    deleted_at          timestamptz,
    unknown_to_c4       boolean     NOT NULL,
    upload_failing      jsonb,
    live_certificate_id uuid,
    live_not_after      timestamptz,
    block               jsonb,
    waiting             jsonb,
    status              text        NOT NULL
        CHECK (status IN ('Success', 'Pending', 'Failure', 'Discard', 'Expired', 'Emergency')),
    activity            text        NOT NULL,
    upload_revision     bigint      NOT NULL,
    version             bigint      NOT NULL,
    position            bigint,
    changed_at          timestamptz NOT NULL,
    CHECK ((live_certificate_id IS NULL) = (live_not_after IS NULL))
);

CREATE INDEX domains_listed ON domains (name) WHERE deleted_at IS NULL;
CREATE INDEX domains_by_status ON domains (status, name) WHERE deleted_at IS NULL;
CREATE INDEX domains_ending ON domains (live_not_after) WHERE deleted_at IS NULL AND status = 'Success';
CREATE UNIQUE INDEX domains_by_position ON domains (position);
CREATE INDEX domains_unnumbered ON domains (changed_at) WHERE position IS NULL;

-- What is due for a name and kind, and who holds it.
CREATE TABLE work (
    name           text COLLATE "C" NOT NULL REFERENCES domains (name),
    kind           text        NOT NULL CHECK (kind IN ('issue', 'upload', 'remove')),
    revision       bigint      NOT NULL,
    cause          text        NOT NULL,
    attempts       integer     NOT NULL,
    due_at         timestamptz,
    certificate_id uuid,
    lease_token    bigint      NOT NULL,
    lease_until    timestamptz,
    hinted_at      timestamptz,
    PRIMARY KEY (name, kind)
);

CREATE INDEX work_due ON work (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE accounts (
    id            uuid        PRIMARY KEY,
    issuer        text        NOT NULL,
    directory_url text        NOT NULL,
    sealed_key    bytea       NOT NULL,
    url           text,
    created_at    timestamptz NOT NULL,
    UNIQUE (issuer, directory_url)
);

-- The order journal. A state has exactly its columns.
CREATE TABLE orders (
    id             uuid        PRIMARY KEY,
    name           text COLLATE "C" NOT NULL REFERENCES domains (name),
    revision       bigint      NOT NULL,
    account_id     uuid        NOT NULL REFERENCES accounts (id),
    created_at     timestamptz NOT NULL,
    state          text        NOT NULL
        CHECK (state IN ('created', 'placed', 'keyed', 'issued', 'failed', 'abandoned')),
    url            text,
    certificate_id uuid,
    sealed_key     bytea,
    csr            bytea,
    CHECK (state <> 'created' OR url IS NULL),
    CHECK (state <> 'placed' OR url IS NOT NULL),
    CHECK (state <> 'keyed'
        OR (url IS NOT NULL AND certificate_id IS NOT NULL AND sealed_key IS NOT NULL AND csr IS NOT NULL)),
    CHECK (state <> 'issued' OR certificate_id IS NOT NULL),
    CHECK (state = 'keyed' OR sealed_key IS NULL)
);

CREATE UNIQUE INDEX one_live_order_per_name ON orders (name) WHERE state IN ('created', 'placed', 'keyed');

CREATE TABLE challenges (
    host              text COLLATE "C" NOT NULL,
    token             text COLLATE "C" NOT NULL,
    key_authorization text        NOT NULL,
    order_id          uuid        NOT NULL REFERENCES orders (id),
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (host, token)
);

CREATE INDEX challenges_by_order ON challenges (order_id);

CREATE TABLE certificates (
    id          uuid        PRIMARY KEY,
    name        text COLLATE "C" NOT NULL REFERENCES domains (name),
    revision    bigint      NOT NULL,
    source      text        NOT NULL CHECK (source IN ('c4', 'text')),
    sha256      text        NOT NULL,
    serial      text        NOT NULL,
    issuer      text        NOT NULL,
    not_before  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    chain_pem   text        NOT NULL,
    sealed_key  bytea,
    created_at  timestamptz NOT NULL,
    uploaded_at timestamptz
);

CREATE INDEX certificates_by_name ON certificates (name, not_after);

ALTER TABLE domains ADD FOREIGN KEY (live_certificate_id) REFERENCES certificates (id);

CREATE TABLE history (
    id                 bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name               text COLLATE "C" NOT NULL,
    at                 timestamptz NOT NULL,
    kind               text        NOT NULL,
    actor              text        NOT NULL,
    status_from        text,
    status_to          text        NOT NULL,
    message            text        NOT NULL,
    certificate_sha256 text
);

CREATE INDEX history_by_name ON history (name, id);

CREATE TABLE tokens (
    name         text COLLATE "C" PRIMARY KEY,
    hash         bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    role         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- Events on their way.
CREATE TABLE messages (
    sequence    bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id          uuid        NOT NULL UNIQUE,
    kind        text        NOT NULL,
    subject     text        NOT NULL,
    name        text        NOT NULL,
    revision    bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    lease_token bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz,
    dead_reason text
);

CREATE INDEX messages_waiting ON messages (kind, sequence) WHERE dead_reason IS NULL;

-- Rows that come and go by the second: let the vacuum keep up with them.
ALTER TABLE messages SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE work SET (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 80);
ALTER TABLE domains SET (fillfactor = 80);
