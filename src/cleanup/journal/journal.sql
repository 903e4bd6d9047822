-- What steps create beyond the database's reach and is not undone yet: a line before each is sent, one
-- when it is known what it created. Both go when it is settled.
CREATE TABLE pacecar.journal (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL,
    plan text NOT NULL,
    id bigint NOT NULL,
    line text NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX journal_run ON pacecar.journal (run, id);
