-- Who did what, from where, with which result. A row is appended in the transaction of its call; within a second the
-- sealer gives it the next number and a hash over the row before and its own.
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
    CHECK ((sequence IS NULL) = (hash IS NULL))
);

CREATE INDEX audit_unsealed ON audit (id) WHERE sequence IS NULL;
CREATE INDEX audit_by_subject ON audit (subject, id);

-- The last row that was sealed. Whoever seals locks it.
CREATE TABLE audit_head (
    sequence bigint NOT NULL,
    hash     bytea  NOT NULL CHECK (length(hash) = 32)
);

INSERT INTO audit_head (sequence, hash) VALUES (0, decode(repeat('00', 32), 'hex'));
