-- People who sign in to the console. A password is kept as an Argon2id hash in PHC form; none for those who sign in through
-- an OpenID provider.
CREATE TABLE users (
    name          text COLLATE "C" PRIMARY KEY,
    role          text        NOT NULL,
    password_hash text,
    created_at    timestamptz NOT NULL
);

-- Their sessions: the hash of the token that the browser holds.
CREATE TABLE sessions (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32),
    user_name  text COLLATE "C" NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX sessions_of_user ON sessions (user_name);
