-- What the ledger of rows consists of, beside the triggers (table.sql). Run once, in one transaction.

CREATE TABLE pacecar.ledger (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL,
    relation oid NOT NULL,
    key jsonb NOT NULL,
    hearsay boolean NOT NULL,
    xid xid8 NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ledger_run ON pacecar.ledger (run);
-- By the key's hash, because a key may be longer than an index takes.
CREATE INDEX ledger_key ON pacecar.ledger (relation, pg_catalog.jsonb_hash_extended(key, 0));

-- Rows that were there before and that a synthetic transaction updated. Only ever added to: a
-- counter would make the application's transactions wait for each other.
CREATE TABLE pacecar.updates (
    run text NOT NULL,
    relation oid NOT NULL,
    rows bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX updates_run ON pacecar.updates (run);

-- Which run this transaction belongs to, if any. What is no run's id is nobody's.
CREATE FUNCTION pacecar.evidence(OUT run text, OUT hearsay boolean) LANGUAGE plpgsql AS '
DECLARE
    told text := pg_catalog.current_setting(''pacecar.run_id'', true);
BEGIN
    hearsay := false;
    IF told <> '''' THEN
        SELECT l.run INTO run FROM pacecar.lease l WHERE l.run = told AND l.kind IN (''run'', ''canary'');
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    -- A comment is believed of a live run only: a prepared statement keeps the one it was prepared with.
    told := pg_catalog.current_query();
    IF pg_catalog.strpos(told, ''traceparent'') = 0 THEN
        RETURN;
    END IF;
    told := pg_catalog.substring(told,
        ''/[*][^*]*traceparent[^0-9a-f*]{1,8}[0-9a-f]{2}-([0-9a-f]{16})[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{2}'');
    IF told IS NOT NULL THEN
        SELECT l.run INTO run FROM pacecar.lease l
        WHERE l.run = told AND l.kind IN (''run'', ''canary'') AND l.ended IS NULL
            AND l.expires > pg_catalog.clock_timestamp();
        hearsay := true;
    END IF;
END';

-- A table and all below it: what a statement that names it may touch.
CREATE FUNCTION pacecar.tree(relation oid) RETURNS oid[] LANGUAGE sql STABLE AS '
    WITH RECURSIVE tree(oid) AS (
        SELECT relation UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
    SELECT pg_catalog.array_agg(oid) FROM tree';

-- Whether a statement that changes rows of a table, or of any (null), can concern a record. It is asked once for each
-- of them in everybody's transactions, so it looks no further than an index.
CREATE FUNCTION pacecar.concerns(table_oid oid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS '
BEGIN
    IF table_oid IS NULL THEN
        RETURN EXISTS (SELECT FROM pacecar.ledger);
    END IF;
    RETURN EXISTS (SELECT FROM pacecar.ledger l WHERE l.relation = table_oid);
END';

-- A record outlives no row. Fires once for each table that a TRUNCATE empties.
CREATE FUNCTION pacecar.truncated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS '
BEGIN
    DELETE FROM pacecar.ledger l WHERE l.relation = TG_RELID;
    RETURN NULL;
END';
