-- The triggers of one table. Statement triggers everywhere: they fire once for each statement, for
-- the table that it names; a row trigger would take a row that moves to another partition for a new one.

-- The guard is asked once for each statement: an untagged one goes no further.
CREATE TRIGGER pacecar_inserted AFTER INSERT ON <table> REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (pg_catalog.current_setting('pacecar.run_id', true) <> ''
        OR pg_catalog.strpos(pg_catalog.current_query(), 'traceparent') > 0)
    EXECUTE FUNCTION pacecar.<inserted>();
CREATE TRIGGER pacecar_updated AFTER UPDATE ON <table> REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT WHEN (pg_catalog.current_setting('pacecar.run_id', true) <> '' OR pacecar.concerns(<concern>))
    EXECUTE FUNCTION pacecar.<updated>();
CREATE TRIGGER pacecar_deleted AFTER DELETE ON <table> REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT WHEN (pacecar.concerns(<concern>)) EXECUTE FUNCTION pacecar.<deleted>();
CREATE TRIGGER pacecar_truncated AFTER TRUNCATE ON <table> FOR EACH STATEMENT EXECUTE FUNCTION pacecar.truncated();

-- In every session: one that restores or replicates may reuse a key too.
ALTER TABLE <table> ENABLE ALWAYS TRIGGER pacecar_inserted;
ALTER TABLE <table> ENABLE ALWAYS TRIGGER pacecar_updated;
ALTER TABLE <table> ENABLE ALWAYS TRIGGER pacecar_deleted;
ALTER TABLE <table> ENABLE ALWAYS TRIGGER pacecar_truncated;
