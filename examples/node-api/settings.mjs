// The knobs of this service, from the environment: the same names as the load-testing guide's.

function number(name, fallback, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}) {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value < min || value > max) {
    throw new Error(`${name} must be a number from ${min} to ${max}, not ${JSON.stringify(text)}`);
  }
  return value;
}

export const settings = {
  databaseUrl: process.env.DATABASE_URL,
  port: number('PORT', 3000, { max: 65535 }),
  // UV_THREADPOOL_SIZE is libuv's own: it is read before any of this runs, and hashes the passwords here.
  pool: {
    min: number('PG_POOL_MIN', 4, { max: 10000 }),
    max: number('PG_POOL_MAX', 40, { min: 1, max: 10000 }),
    idleTimeoutMillis: number('PG_POOL_IDLE_TIMEOUT_MS', 10000),
    connectionTimeoutMillis: number('PG_POOL_CONNECTION_TIMEOUT_MS', 2000),
  },
  llm: {
    latencyMs: number('LLM_LATENCY_MS', 40, { max: 3600000 }),
    jitter: number('LLM_JITTER', 0.25, { max: 1 }),
    tokens: number('LLM_TOKENS', 300, { max: 100000 }),
    cost: number('LLM_COST', 0.002, { max: 1000 }),
    cacheHitRate: number('LLM_CACHE_HIT_RATE', 0.45, { max: 1 }),
    failureRate: number('LLM_FAILURE_RATE', 0, { max: 1 }),
  },
  // Faults, to see them found: each query takes so much longer; so long nothing else runs, so often.
  queryDelayMs: number('QUERY_DELAY_MS', 0, { max: 60000 }),
  blockLoopMs: number('BLOCK_LOOP_MS', 0, { max: 60000 }),
  blockLoopEveryMs: number('BLOCK_LOOP_EVERY_MS', 200, { min: 1 }),
  // With it, tables are made and the test users of config/tenant-workflow.yaml get this password.
  seedPassword: process.env.SEED_PASSWORD,
};
