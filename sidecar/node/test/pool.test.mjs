// The pool on a real Postgres: whose rows the ledger gets, and what is measured.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { as, current, pool as measured } from '../index.mjs';
import { RUN } from './support/requests.mjs';
import { startPostgres } from './support/postgres.mjs';
import { points, shutdown } from './support/telemetry.mjs';

const SYNTHETIC = Object.freeze({ run: RUN, tenant: '7', scenario: 'main', step: 'chat' });
const server = await startPostgres();
if (!server) console.error('SKIPPED: no Postgres server here, so nothing of the pool is tested (scripts/ensure.sh postgres)');
const skip = server ? false : 'no Postgres server';
const { end, ...address } = server ?? {};
const admin = server && new pg.Pool({ ...address, max: 1 });
admin?.on('error', () => {});

// The ledger's rule of evidence: a statement of a transaction that says its run.
const LEDGER = `
  CREATE TABLE chats (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, synthetic boolean NOT NULL,
    text text NOT NULL CHECK (text <> 'refused'));
  CREATE TABLE ledger (run text NOT NULL, id bigint NOT NULL);
  CREATE FUNCTION recorded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO ledger SELECT current_setting('pacecar.run_id', true), id FROM new_rows; RETURN NULL; END $$;
  CREATE TRIGGER recorded AFTER INSERT ON chats REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (current_setting('pacecar.run_id', true) <> '') EXECUTE FUNCTION recorded();`;

before(() => admin?.query(LEDGER));
after(async () => {
  await admin?.end();
  await end?.();
  await shutdown();
});

/** A pool of four, in use until `work` is done. */
async function withPool(work, options = {}, settings = {}) {
  const inner = new pg.Pool({ ...address, max: 4, ...settings });
  inner.on('error', () => {});
  try {
    return await work(measured(inner, { name: 'app', ...options }), inner);
  } finally {
    await inner.end();
  }
}

const INSERT = 'INSERT INTO chats (synthetic, text) VALUES ($1, $2) RETURNING id';
const TOLD = "SELECT coalesce(current_setting('pacecar.run_id', true), '') AS run";
const told = async (on) => (await on.query(TOLD)).rows[0].run;

/** The same pseudo-random numbers each time. */
function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

test('of 2,000 interleaved transactions with errors and cancellations no real row is in the ledger', { skip }, async () => {
  const roll = dice(7);
  const committed = new Set();
  const ways = [
    // Alone: a statement, a callback, a refused one.
    async (db, whose) => committed.add((await db.query(INSERT, [whose, 'alone'])).rows[0].id),
    (db, whose) =>
      new Promise((resolve, reject) =>
        db.query(INSERT, [whose, 'callback'], (error, result) => {
          if (!error) committed.add(result.rows[0].id);
          if (error) reject(error);
          else resolve();
        })),
    (db, whose) => db.query(INSERT, [whose, 'refused']),
    // Transactions: committed, rolled back, failed half way and still given back, refused at a statement.
    async (db, whose) => {
      const { rows } = await db.transaction(async (client) => {
        await client.query('SELECT 1');
        return client.query(INSERT, [whose, 'transaction']);
      });
      committed.add(rows[0].id);
    },
    (db, whose) =>
      db.transaction(async (client) => {
        await client.query(INSERT, [whose, 'thrown']);
        throw new Error('half way');
      }),
    async (db, whose) => {
      const client = await db.connect();
      await client.query('BEGIN');
      await client.query(INSERT, [whose, 'forgotten']);
      // A real request with this mistake leaves its transaction to the next: that is the application's own, so only
      // synthetic ones make it.
      if (!whose) await client.query('ROLLBACK');
      client.release();
    },
    async (db, whose) => {
      const client = await db.connect();
      try {
        await client.query('BEGIN; SAVEPOINT here');
        await client.query(INSERT, [whose, 'refused']).catch(() => {});
        await client.query('ROLLBACK TO SAVEPOINT here');
        const { rows } = await client.query(INSERT, [whose, 'after a savepoint']);
        await client.query('COMMIT AND CHAIN');
        committed.add(rows[0].id);
        const next = await client.query(INSERT, [whose, 'chained']);
        await client.query('COMMIT');
        committed.add(next.rows[0].id);
      } finally {
        client.release();
      }
    },
    // Cancelled while it runs, and given back with a statement still on its way.
    async (db, whose) => {
      await db.transaction(async (client) => {
        await client.query(INSERT, [whose, 'cancelled']);
        await client.query(`SET LOCAL statement_timeout = ${1 + roll(3)}`);
        await client.query('SELECT pg_sleep(60)');
      });
    },
    async (db, whose) => {
      if (!whose) return;
      const client = await db.connect();
      await client.query('BEGIN');
      client.query(INSERT, [whose, 'on its way']).catch(() => {});
      client.release();
    },
  ];
  await withPool(async (db) => {
    await Promise.all(
      Array.from({ length: 2000 }, (_, n) => {
        const whose = roll(2) === 0;
        const work = ways[n % ways.length];
        return as(whose ? SYNTHETIC : undefined, async () => {
          await new Promise((resolve) => setTimeout(resolve, roll(200)));
          await work(db, whose).catch(() => {});
          assert.equal(current()?.run, whose ? RUN : undefined);
        });
      }),
    );
  });
  const count = async (query) => Number((await admin.query(`SELECT count(*) ${query}`)).rows[0].count);
  assert.equal(await count('FROM ledger l JOIN chats c USING (id) WHERE NOT c.synthetic'), 0);
  assert.equal(await count(`FROM ledger WHERE run <> '${RUN}'`), 0);
  assert.equal(await count('FROM chats c WHERE synthetic AND NOT EXISTS (SELECT FROM ledger l WHERE l.id = c.id)'), 0);
  // The application got what it asked for: what it believes committed is there, and nothing else.
  const there = new Set((await admin.query('SELECT id FROM chats')).rows.map((row) => row.id));
  assert.deepEqual(there, committed);
  assert.ok((await count('FROM chats WHERE synthetic')) > 400 && (await count('FROM chats WHERE NOT synthetic')) > 400);
});

test('the run is told in transactions of synthetic requests and nowhere else', { skip }, () =>
  withPool(
    async (db, inner) => {
      await as(SYNTHETIC, async () => {
        assert.equal(await told(db), RUN);
        const client = await db.connect();
        assert.equal(await told(client), RUN);
        await client.query('START TRANSACTION READ ONLY');
        assert.equal(await told(client), RUN);
        await client.query('ROLLBACK');
        // What cannot stand in a transaction does not.
        await client.query('VACUUM chats');
        client.release();
      });
      // The pool has one connection: it is the same.
      assert.equal(await told(db), '');
      assert.equal(await told(inner), '');
      assert.equal(await as(SYNTHETIC, () => db.transaction(told)), RUN);
      assert.equal(await db.transaction(told), '');
      assert.equal(inner.totalCount, 1);
    },
    {},
    { max: 1 },
  ));

test('reads may be left as they are', { skip }, () =>
  withPool(
    (db) =>
      as(SYNTHETIC, async () => {
        assert.equal(await told(db), '');
        assert.equal(await db.transaction(told), RUN);
      }),
    { reads: false },
  ));

test('callbacks and errors are those of pg', { skip }, () =>
  withPool((db) =>
    as(SYNTHETIC, async () => {
      await assert.rejects(db.query('SELECT 1/0'), { code: '22012' });
      const error = await new Promise((resolve) => db.query('SELECT 1/0', (failure) => resolve(failure)));
      assert.equal(error.code, '22012');
      await new Promise((resolve, reject) =>
        db.connect((failure, client, release) => {
          if (failure) return reject(failure);
          assert.equal(current(), SYNTHETIC);
          client.query({ text: 'SELECT $1::int AS n', values: [3] }, (problem, result) => {
            release();
            if (problem) return reject(problem);
            assert.equal(result.rows[0].n, 3);
            resolve();
          });
        }));
      assert.ok(db instanceof pg.Pool);
      assert.equal(db.options.max, 4);
    })));

test('whose a request is was decided before it queued', { skip }, () =>
  withPool(
    async (db) => {
      const holder = await db.connect();
      const seen = [];
      const ask = (whose) =>
        as(whose, () =>
          new Promise((resolve) =>
            db.connect((error, client, release) => {
              seen.push([whose?.run, current()?.run]);
              told(client).then((run) => {
                release();
                resolve(run);
              });
            })));
      const asked = [undefined, SYNTHETIC, undefined, SYNTHETIC].map(ask);
      // Given back in somebody else's context.
      as(SYNTHETIC, () => holder.release());
      assert.deepEqual(await Promise.all(asked), ['', RUN, '', RUN]);
      assert.deepEqual(seen, [[undefined, undefined], [RUN, RUN], [undefined, undefined], [RUN, RUN]]);
    },
    {},
    { max: 1 },
  ));

test('waits, use and levels are measured; a wait that is too long is a timeout', { skip }, async () => {
  const named = (all, state) =>
    all.filter(({ attributes }) => attributes['db.client.connection.pool.name'] === 'small'
      && (state === undefined || attributes['db.client.connection.state'] === state)).map(({ value }) => value);
  await withPool(
    async (db) => {
      const client = await db.connect();
      const { total } = db.waits();
      const begun = performance.now();
      const waiting = db.query('SELECT 1').then(() => performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(named(await points('db.client.connection.pending_requests')), [1]);
      assert.deepEqual(named(await points('db.client.connection.count'), 'used'), [1]);
      assert.deepEqual(named(await points('db.client.connection.count'), 'idle'), [0]);
      assert.deepEqual(named(await points('db.client.connection.max')), [1]);
      client.release();
      const atMost = await waiting;
      const [wait] = named(await points('db.client.connection.wait_time'));
      assert.equal(wait.count, 2);
      const waited = db.waits().total - total;
      assert.ok(waited >= 45 && waited <= atMost && wait.max * 1000 >= waited - 0.001, `${waited} of ${atMost} ms`);
      assert.equal(db.waits().count, 2);
      assert.equal(named(await points('db.client.connection.use_time'))[0].count, 2);
      const holder = await db.connect();
      await assert.rejects(db.connect());
      holder.release();
      assert.deepEqual(named(await points('db.client.connection.timeouts')), [1]);
    },
    { name: 'small' },
    { max: 1, connectionTimeoutMillis: 2000 },
  );
  await withPool((db) => db.query('SELECT 1'), { name: 'instrumented', instrumented: true });
  const names = (await points('db.client.connection.count')).map((point) => point.attributes['db.client.connection.pool.name']);
  assert.ok(!names.includes('instrumented'));
});
