-- Sessions of people whom an OpenID provider vouches for. They have no row among the users: the session carries the name
-- and the role that they had at the sign-in.
ALTER TABLE sessions
    ALTER COLUMN user_name DROP NOT NULL,
    ADD COLUMN person text COLLATE "C",
    ADD COLUMN role text,
    ADD CONSTRAINT sessions_of_one CHECK ((user_name IS NULL) <> (person IS NULL) AND (person IS NULL) = (role IS NULL));

CREATE INDEX sessions_of_person ON sessions (person) WHERE person IS NOT NULL;

-- ID tokens that somebody signed in with, until they would not be taken any more: each is good once.
CREATE TABLE used_id_tokens (
    hash         bytea       PRIMARY KEY CHECK (length(hash) = 32),
    forget_after timestamptz NOT NULL
);

CREATE INDEX used_id_tokens_forget_after ON used_id_tokens (forget_after);
