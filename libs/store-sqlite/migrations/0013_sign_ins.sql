-- Sessions of people whom an OpenID provider vouches for. They have no row among the users: the session carries the name
-- and the role that they had at the sign-in. SQLite cannot take a NOT NULL back, so the table is written anew.
CREATE TABLE sessions_anew (
    hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    user_name  TEXT    REFERENCES users (name) ON DELETE CASCADE,
    person     TEXT,
    role       TEXT,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT sessions_of_one CHECK ((user_name IS NULL) <> (person IS NULL) AND (person IS NULL) = (role IS NULL))
) STRICT;

INSERT INTO sessions_anew (hash, user_name, created_at, used_at, expires_at)
SELECT hash, user_name, created_at, used_at, expires_at FROM sessions;

DROP TABLE sessions;
ALTER TABLE sessions_anew RENAME TO sessions;

CREATE INDEX sessions_of_user ON sessions (user_name);
CREATE INDEX sessions_ending ON sessions (expires_at);
CREATE INDEX sessions_of_person ON sessions (person) WHERE person IS NOT NULL;

-- ID tokens that somebody signed in with, until they would not be taken any more: each is good once.
CREATE TABLE used_id_tokens (
    hash         BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    forget_after INTEGER NOT NULL
) STRICT;

CREATE INDEX used_id_tokens_forget_after ON used_id_tokens (forget_after);
