-- The trigger functions of one table. What stands in angle brackets is filled with what the
-- database quoted; a body becomes a literal.

CREATE OR REPLACE FUNCTION pacecar.<inserted>() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    SET timezone = 'UTC' SET bytea_output = hex SET extra_float_digits = 1 SET intervalstyle = postgres AS <body>
DECLARE
    proof record;
BEGIN
    SELECT * INTO proof FROM pacecar.evidence();
    IF proof.run IS NOT NULL THEN
        INSERT INTO pacecar.ledger (run, relation, key, hearsay, xid)
        SELECT proof.run, <leaf>, <key of n>, proof.hearsay, pg_catalog.pg_current_xact_id() FROM <new rows>;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- What is not recorded is real: nothing is lost, and the application is not disturbed.
    RETURN NULL;
END</body>;

CREATE OR REPLACE FUNCTION pacecar.<updated>() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    SET timezone = 'UTC' SET bytea_output = hex SET extra_float_digits = 1 SET intervalstyle = postgres AS <body>
DECLARE
    tree oid[] := pacecar.tree(TG_RELID);
    proof record;
    known boolean;
BEGIN
    known := EXISTS (SELECT FROM pacecar.ledger l WHERE l.relation = ANY (tree));
    IF pg_catalog.current_setting('pacecar.run_id', true) <> '' THEN
        BEGIN
            SELECT * INTO proof FROM pacecar.evidence();
            INSERT INTO pacecar.updates (run, relation, rows)
            SELECT proof.run, TG_RELID, count(*) FROM old_rows o
            WHERE proof.run IS NOT NULL AND NOT proof.hearsay
                AND NOT EXISTS (SELECT FROM pacecar.ledger l WHERE l.relation = ANY (tree)
                    AND pg_catalog.jsonb_hash_extended(l.key, 0) = pg_catalog.jsonb_hash_extended(<key of o>, 0)
                    AND l.key = <key of o>)
            HAVING count(*) > 0;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END IF;
    IF NOT known THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- Each updated row is written to both transition tables at once, so both have the same order.
        IF <movable> AND (SELECT count(*) FROM old_rows) = (SELECT count(*) FROM new_rows) THEN
            WITH o AS (SELECT pg_catalog.row_number() OVER () AS "pacecar row", <key of r> AS key FROM old_rows r),
                n AS (
                    SELECT pg_catalog.row_number() OVER () AS "pacecar row", <key of r> AS "pacecar key", r.*
                    FROM new_rows r),
                moved AS MATERIALIZED (
                    SELECT o.key AS was, n."pacecar key" AS becomes, <leaf of n> AS leaf
                    FROM o JOIN n USING ("pacecar row") WHERE o.key <> n."pacecar key"),
                -- A record that was at the new key already is of a row that is gone.
                gone AS (
                    DELETE FROM pacecar.ledger l USING moved m
                    WHERE l.relation = ANY (tree)
                        AND pg_catalog.jsonb_hash_extended(l.key, 0) = pg_catalog.jsonb_hash_extended(m.becomes, 0)
                        AND l.key = m.becomes AND NOT EXISTS (SELECT FROM moved w WHERE w.was = l.key))
            UPDATE pacecar.ledger l SET key = m.becomes, relation = coalesce(m.leaf, l.relation) FROM moved m
            WHERE l.relation = ANY (tree)
                AND pg_catalog.jsonb_hash_extended(l.key, 0) = pg_catalog.jsonb_hash_extended(m.was, 0)
                AND l.key = m.was;
        ELSE
            -- Which row became which cannot be told: what was a key before or is one now, and did not stay, proves nothing.
            WITH o AS (SELECT <key of r> AS key FROM old_rows r), n AS (SELECT <key of r> AS key FROM new_rows r),
                changed AS MATERIALIZED (
                    (SELECT key FROM o EXCEPT ALL SELECT key FROM n) UNION (SELECT key FROM n EXCEPT ALL SELECT key FROM o))
            DELETE FROM pacecar.ledger l USING changed c
            WHERE l.relation = ANY (tree)
                AND pg_catalog.jsonb_hash_extended(l.key, 0) = pg_catalog.jsonb_hash_extended(c.key, 0) AND l.key = c.key;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        -- A record that may be wrong could make a real row test data.
        DELETE FROM pacecar.ledger l WHERE l.relation = ANY (tree);
    END;
    RETURN NULL;
END</body>;

CREATE OR REPLACE FUNCTION pacecar.<deleted>() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    SET timezone = 'UTC' SET bytea_output = hex SET extra_float_digits = 1 SET intervalstyle = postgres AS <body>
DECLARE
    tree oid[] := pacecar.tree(TG_RELID);
BEGIN
    IF EXISTS (SELECT FROM pacecar.ledger l WHERE l.relation = ANY (tree)) THEN
        BEGIN
            DELETE FROM pacecar.ledger l USING old_rows o
            WHERE l.relation = ANY (tree)
                AND pg_catalog.jsonb_hash_extended(l.key, 0) = pg_catalog.jsonb_hash_extended(<key of o>, 0)
                AND l.key = <key of o>;
        EXCEPTION WHEN OTHERS THEN
            DELETE FROM pacecar.ledger l WHERE l.relation = ANY (tree);
        END;
    END IF;
    RETURN NULL;
END</body>;
