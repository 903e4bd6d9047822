-- Who is at work, and what counts as its data. All times are the database's.
CREATE TABLE pacecar.lease (
    run text PRIMARY KEY,
    plan text NOT NULL,
    digest text NOT NULL,
    kind text NOT NULL,
    claim jsonb NOT NULL,
    shared text[] NOT NULL,
    kept boolean NOT NULL,
    sweeping boolean NOT NULL,
    -- Goes up when another takes the lease over: who held it before can no longer renew it.
    term integer NOT NULL DEFAULT 1,
    started timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    heartbeat timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    expires timestamptz NOT NULL,
    ended timestamptz
);
CREATE INDEX lease_unfinished ON pacecar.lease (plan) WHERE ended IS NULL;
