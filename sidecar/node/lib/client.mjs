// One connection of a pool in the hands of a synthetic request: its transactions tell the database whose they are.
//
// `SET LOCAL` ends with its transaction, whatever ends it, so the run's id cannot stay behind in the connection. What
// would carry a transaction itself to the next user, a connection given back in the middle of one, is closed instead.
import { RUN_SETTING } from './names.mjs';

/** What may stand in a transaction block, by its first word: everything else is passed on as it is. */
const WRAPPED = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'WITH', 'SELECT', 'VALUES', 'TABLE', 'EXECUTE', 'DO']);
const READING = new Set(['SELECT', 'VALUES', 'TABLE']);
/** Ends a transaction and begins the next, or undoes what was set behind a savepoint. */
const RESETS = /\b(CHAIN|ROLLBACK|ABORT|RESET|DISCARD)\b/i;
const FIRST_WORD = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|\(|;)*([a-z]+)/i;

/** Statuses by connection, for versions of pg that do not tell them. */
const statuses = new WeakMap();

/** Follows the transactions of a connection: before its first statement, where that can be had. */
export function follow(client) {
  if (typeof client.getTransactionStatus === 'function' || statuses.has(client)) return;
  statuses.set(client, 'I');
  client.connection?.on('readyForQuery', (message) => statuses.set(client, message?.status ?? 'I'));
}

/** `I` outside of a transaction, `T` in one, `E` in one that failed. */
function status(client) {
  return client.getTransactionStatus?.() ?? statuses.get(client) ?? 'I';
}

/** The connection as a synthetic request of `run` (16 hex digits) sees it, until it releases it. */
export function tagged(client, run, { reads = true } = {}) {
  const set = `SET LOCAL ${RUN_SETTING} = '${run}'`;
  const giveBack = client.release;
  // Statements go one after the other, so that each knows what the one before left.
  let tail = Promise.resolve();
  let pending = 0;
  let isSet = false;

  async function execute(args) {
    const text = typeof args[0] === 'string' ? args[0] : String(args[0]?.text ?? '');
    if (status(client) === 'I') {
      isSet = false;
      const word = FIRST_WORD.exec(text)?.[1].toUpperCase();
      if (WRAPPED.has(word) && (reads || !READING.has(word))) return await alone(args);
    } else if (status(client) === 'T' && !isSet) await tell();
    try {
      return await client.query(...args);
    } finally {
      if (status(client) === 'I' || RESETS.test(text)) isSet = false;
      if (status(client) === 'T' && !isSet) await tell();
    }
  }

  async function tell() {
    await client.query(set);
    isSet = true;
  }

  /** A statement that is a transaction of its own. */
  async function alone(args) {
    let result;
    try {
      await client.query(`BEGIN; ${set}`);
      result = await client.query(...args);
      await client.query('COMMIT');
    } catch (error) {
      // Where this fails too, `release` finds the transaction open and closes the connection.
      if (status(client) !== 'I') await client.query('ROLLBACK').catch(() => {});
      throw error;
    }
    return result;
  }

  function query(...args) {
    // A cursor or a stream: it takes what transaction there is.
    if (typeof args[0]?.submit === 'function') return client.query(...args);
    let callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    if (!callback && typeof args[0]?.callback === 'function') {
      callback = args[0].callback;
      args[0] = Object.create(args[0], { callback: { value: undefined } });
    }
    pending += 1;
    const done = tail.then(() => execute(args)).finally(() => {
      pending -= 1;
    });
    tail = done.catch(() => {});
    if (!callback) return done;
    done.then((result) => process.nextTick(callback, null, result), (error) => process.nextTick(callback, error));
    return undefined;
  }

  function release(error) {
    const clean = pending === 0 && status(client) === 'I';
    return giveBack.call(client, error || (clean ? undefined : true));
  }

  return new Proxy(client, {
    get(target, name) {
      if (name === 'query') return query;
      if (name === 'release') return release;
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
