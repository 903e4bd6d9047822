// Tells the database which run of pacecar a transaction belongs to, so that the ledger can record its rows.
//
// This is all that an API needs for it. `set_config(…, true)` is SET LOCAL: it ends with the transaction, so it cannot
// leak into the next user of the pooled connection.

/** The run's id where the request is one of pacecar's: its trace id begins with it, and its baggage names it. */
export function runOf(request) {
  const trace = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(request.headers.traceparent ?? '')?.[1];
  const named = /(?:^|,)\s*pacecar\.run=([0-9a-f]{16})(?:[,;]|$)/.exec(request.headers.baggage ?? '')?.[1];
  return trace && named && trace.startsWith(named) ? named : undefined;
}

/** Runs `work(client)` in one transaction of `pool`, tagged where `request` is synthetic. */
export async function transaction(pool, request, work) {
  const client = await pool.connect();
  let broken;
  try {
    await client.query('BEGIN');
    const run = runOf(request);
    if (run) await client.query("SELECT set_config('pacecar.run_id', $1, true)", [run]);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((failure) => {
      broken = failure;
    });
    throw error;
  } finally {
    // A connection whose transaction may still be open must not be given to anybody else.
    client.release(broken);
  }
}
