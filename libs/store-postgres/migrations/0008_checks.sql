-- A check that somebody asks for rehearses the challenge path beside an order's preflight. Probes live for seconds.
DELETE FROM probes;

ALTER TABLE probes
    ADD COLUMN asker text NOT NULL,
    DROP CONSTRAINT probes_pkey,
    ADD PRIMARY KEY (host, asker);
