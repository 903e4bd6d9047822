// A pool that says how long its users wait, and tells the database which run a synthetic transaction belongs to: a
// wrapper around pg's Pool, to be used in its place.
//
// A real request's `query` and `connect` are pg's own, timed. A synthetic request gets a connection that sets its run
// in each of its transactions (client.mjs). Whose a request is was decided when it asked: a queue hands connections
// out in the context of whoever gave them back.
import { AsyncResource } from 'node:async_hooks';
import { follow, tagged } from './client.mjs';
import { observe } from './metrics.mjs';
import { scope } from './scope.mjs';

/** Wraps a Pool of pg. Whoever uses the inner one past it is not measured, and not tagged. */
export function pool(inner, { name = 'pg', instrumented = false, reads = true, onWait } = {}) {
  const metrics = observe(inner, name, { gauges: !instrumented });
  const since = new WeakMap();
  inner.on('connect', follow);
  inner.on('acquire', (client) => since.set(client, performance.now()));
  inner.on('release', (error, client) => {
    const taken = client && since.get(client);
    if (taken === undefined) return;
    since.delete(client);
    metrics.used(performance.now() - taken);
  });

  /** Begins to wait: what it returns is told how that ended, and makes the caller's connection of it. */
  function asked() {
    const mine = scope();
    const begun = performance.now();
    return (error, client) => {
      const waited = performance.now() - begun;
      if (mine) mine.pool += waited;
      onWait?.(waited);
      if (!error) {
        metrics.waited(waited);
        return mine ? tagged(client, mine.synthetic.run, { reads }) : client;
      }
      const limit = inner.options?.connectionTimeoutMillis;
      if (limit > 0 && waited >= limit - 1) metrics.timedOut();
      return undefined;
    };
  }

  async function promised() {
    const got = asked();
    let client;
    try {
      client = await inner.connect();
    } catch (error) {
      got(error);
      throw error;
    }
    return got(undefined, client);
  }

  function connect(callback) {
    if (typeof callback !== 'function') return promised();
    const got = asked();
    // The queue calls back in the context of whoever gave the connection back.
    const settle = AsyncResource.bind((error, client) => {
      const mine = got(error, client);
      callback(error, mine, mine ? (failure) => mine.release(failure) : () => {});
    });
    inner.connect((error, client) => settle(error, client));
    return undefined;
  }

  async function single(args) {
    const client = await connect();
    try {
      return await client.query(...args);
    } finally {
      client.release();
    }
  }

  function query(...args) {
    // `inner.query` takes its connection through `connect` above.
    if (!scope() || typeof args[0]?.submit === 'function') return Reflect.apply(inner.query, wrapped, args);
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    const done = single(args);
    if (!callback) return done;
    done.then((result) => process.nextTick(callback, undefined, result), (error) => process.nextTick(callback, error));
    return undefined;
  }

  async function transaction(work) {
    const client = await connect();
    let broken;
    try {
      await client.query('BEGIN');
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

  const own = { connect, query, transaction, waits: metrics.waits };
  const wrapped = new Proxy(inner, {
    get: (target, key) => (Object.hasOwn(own, key) ? own[key] : Reflect.get(target, key, target)),
    set: (target, key, value) => Reflect.set(target, key, value, target),
  });
  return wrapped;
}
