//! The schema `pacecar` that the demo's run made in a database of somebody else's: it goes with the demo.

use tokio_postgres::{Client, Error};

/// Whether there is a schema `pacecar`.
pub(super) async fn there(client: &impl tokio_postgres::GenericClient) -> Result<bool, Error> {
    Ok(client.query_one("SELECT to_regnamespace('pacecar') IS NOT NULL", &[]).await?.get(0))
}

/// Drops it, unless there is more in it than leases, or one of them has not ended: a run of somebody else's.
pub(super) async fn remove(client: &Client) -> Result<(), Error> {
    const SQL: &str = "
        SET lock_timeout = '5s';
        DO $$ BEGIN
            IF to_regclass('pacecar.lease') IS NULL THEN
                RETURN;
            END IF;
            -- Only now: what is not there cannot be asked about.
            IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pacecar'::regnamespace
                    AND relkind IN ('r', 'p', 'v', 'm', 'f') AND relname <> 'lease')
                AND NOT EXISTS (SELECT FROM pacecar.lease WHERE ended IS NULL) THEN
                DROP TABLE pacecar.lease;
                DROP SCHEMA pacecar;
            END IF;
        END $$";
    client.batch_execute(SQL).await
}
