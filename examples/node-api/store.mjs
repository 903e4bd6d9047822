// Tables and test users, made where they are missing: the same as those of the Rust sample API.
import { hash } from './passwords.mjs';

const TENANTS = 20;
const USERS = 5;

const TABLES = `
  CREATE TABLE IF NOT EXISTS tenants (id bigint PRIMARY KEY, name text NOT NULL);
  CREATE TABLE IF NOT EXISTS users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants, email text NOT NULL UNIQUE, password_hash text NOT NULL);
  CREATE TABLE IF NOT EXISTS llm_usage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL, tenant_id bigint NOT NULL, prompt text NOT NULL, model text NOT NULL,
    tokens integer NOT NULL, cost numeric NOT NULL, cached boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());`;

/** Makes what is missing, and gives the test users `password` in this service's kind of hash. */
export async function seed(pool, password) {
  const hashed = await hash(password);
  const client = await pool.connect();
  try {
    // Two that start at once must not both make the tables.
    await client.query("BEGIN; SELECT pg_advisory_xact_lock(hashtext('node-api'));" + TABLES);
    await client.query(
      "INSERT INTO tenants SELECT t, 'test-' || t FROM generate_series(1, $1::bigint) t ON CONFLICT DO NOTHING",
      [TENANTS],
    );
    await client.query(
      `INSERT INTO users (tenant_id, email, password_hash)
       SELECT t, 'test-' || t || '-' || u || '@example.com', $3
       FROM generate_series(1, $1::bigint) t, generate_series(1, $2::bigint) u
       ON CONFLICT (email) DO UPDATE SET password_hash = EXCLUDED.password_hash
       WHERE users.password_hash NOT LIKE 'scrypt$%'`,
      [TENANTS, USERS, hashed],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}
