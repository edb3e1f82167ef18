-- A check that somebody asks for rehearses the challenge path beside an order's preflight. Probes live for seconds.
DROP TABLE probes;

CREATE TABLE probes (
    host   TEXT NOT NULL,
    asker  TEXT NOT NULL,
    token  TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (host, asker)
) STRICT, WITHOUT ROWID;
