// A multi-tenant API of the usual shape: login, profile, and a chat that asks a language model and writes one row.
//
//   DATABASE_URL=postgres://… SEED_PASSWORD=secret node server.mjs
//
// OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 sends its spans and metrics to pacecar; nothing else is needed.
import { shutdown } from './telemetry.mjs';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { settings } from './settings.mjs';

// Instrumentation hooks into `require`, so what is instrumented comes that way, after telemetry.mjs.
const require = createRequire(import.meta.url);
const express = require('express');
const { Pool } = require('pg');
const { calls, startLlm } = await import('./llm.mjs');
const { hash, verify } = await import('./passwords.mjs');
const { seed } = await import('./store.mjs');
const { transaction } = await import('./synthetic.mjs');

const MODEL = 'demo-1';
const LIFETIME_S = 3600;
const MOST_SESSIONS = 100000;

if (!settings.databaseUrl) {
  console.error('DATABASE_URL is not set: postgres://USER:PASSWORD@HOST:PORT/DATABASE');
  process.exit(1);
}
const pool = new Pool({ connectionString: settings.databaseUrl, application_name: 'node-api', ...settings.pool });
pool.on('error', (error) => console.error(`an idle connection broke: ${error.message}`));
if (settings.seedPassword) await seed(pool, settings.seedPassword);
const ask = await startLlm();

/** Token to session, the oldest first. */
const sessions = new Map();
/** What waiting for the pool really took, in ms: for tests that compare. Bounded. */
const waits = [];

/** As `pool.query`, with the wait measured around `pool.connect()`. */
async function query(text, values) {
  const client = await connect();
  try {
    if (settings.queryDelayMs > 0) await client.query('SELECT pg_sleep($1)', [settings.queryDelayMs / 1000]);
    return await client.query(text, values);
  } finally {
    client.release();
  }
}

async function connect() {
  const begun = performance.now();
  try {
    return await pool.connect();
  } finally {
    if (waits.push(performance.now() - begun) > 10000) waits.shift();
  }
}

const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '64kb' }));

app.post('/auth/v1/token', async (request, response) => {
  const { email, password } = request.body ?? {};
  if (request.query.grant_type !== 'password' || typeof email !== 'string' || typeof password !== 'string') {
    return response.status(400).json({ error: 'email, password and grant_type=password are needed' });
  }
  const { rows } = await query('SELECT id, tenant_id, password_hash FROM users WHERE email = $1', [email]);
  // The connection is back in the pool: hashing needs no database, but a thread of libuv's pool.
  const fits = await verify(password, rows[0]?.password_hash);
  if (!fits || rows.length === 0) return response.status(401).json({ error: 'wrong email or password' });
  const token = randomBytes(24).toString('base64url');
  const tenant = Number(rows[0].tenant_id);
  sessions.set(token, { email, tenant, until: Date.now() + LIFETIME_S * 1000 });
  if (sessions.size > MOST_SESSIONS) sessions.delete(sessions.keys().next().value);
  response.json({
    access_token: token,
    token_type: 'bearer',
    expires_in: LIFETIME_S,
    user: { id: Number(rows[0].id), email, tenant },
  });
});

app.post('/auth/v1/signup', async (request, response) => {
  const { email, password } = request.body ?? {};
  if (typeof email !== 'string' || !/^[^\s@]+@[^\s@]+$/.test(email) || typeof password !== 'string' || !password) {
    return response.status(400).json({ error: 'an email and a password are needed' });
  }
  const hashed = await hash(password);
  const tenant = Number(/^test-(\d{1,6})-/.exec(email)?.[1] ?? 1);
  const rows = await transaction(pool, request, async (client) => {
    await client.query("INSERT INTO tenants VALUES ($1, 'test-' || $1::bigint) ON CONFLICT DO NOTHING", [tenant]);
    const inserted = await client.query(
      `INSERT INTO users (tenant_id, email, password_hash) VALUES ($1, $2, $3)
       ON CONFLICT (email) DO NOTHING RETURNING id`,
      [tenant, email, hashed],
    );
    return inserted.rows;
  });
  if (rows.length === 0) return response.status(409).json({ error: 'this user is there already' });
  response.status(201).json({ user: { id: Number(rows[0].id), email, tenant } });
});

/** Lets through who has a valid token. */
function authenticated(request, response, next) {
  const token = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const session = token && sessions.get(token);
  if (!session || session.until < Date.now()) return response.status(401).json({ error: 'no valid token' });
  request.session = session;
  next();
}

app.get('/api/user/profile', authenticated, async (request, response) => {
  const { rows } = await query(
    'SELECT u.id, t.id AS tenant, t.name FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.email = $1',
    [request.session.email],
  );
  if (rows.length === 0) return response.status(401).json({ error: 'no valid token' });
  const [{ id, tenant, name }] = rows;
  response.json({ id: Number(id), email: request.session.email, tenant: Number(tenant), tenant_name: name });
});

app.post('/api/llm/chat', authenticated, async (request, response) => {
  const { prompt, stream } = request.body ?? {};
  if (typeof prompt !== 'string') return response.status(400).json({ error: 'a prompt is needed' });
  const call = await ask(prompt);
  const { email, tenant } = request.session;
  const tokens = call.prompt_tokens + call.completion_tokens;
  const id = await transaction({ connect }, request, async (client) => {
    if (settings.queryDelayMs > 0) await client.query('SELECT pg_sleep($1)', [settings.queryDelayMs / 1000]);
    const { rows } = await client.query(
      `INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached)
       VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
      [email, tenant, prompt.replaceAll('\0', ''), MODEL, tokens, call.cost, call.cached],
    );
    return Number(rows[0].id);
  });
  const usage = {
    prompt_tokens: call.prompt_tokens,
    completion_tokens: call.completion_tokens,
    total_tokens: tokens,
  };
  const facts = { id, model: MODEL, usage, cost: call.cost, cached: call.cached };
  if (stream || request.accepts(['json', 'text/event-stream']) === 'text/event-stream') {
    response.set({ 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    for (const word of ['the', 'answer', 'is', '42']) response.write(`data: ${JSON.stringify({ delta: word })}\n\n`);
    return response.end(`data: ${JSON.stringify(facts)}\n\ndata: [DONE]\n\n`);
  }
  response.json({ ...facts, answer: 'the answer is 42' });
});

app.delete('/api/chats/:id', authenticated, async (request, response) => {
  if (!/^\d{1,18}$/.test(request.params.id)) return response.status(404).json({ error: 'no such chat' });
  const values = [request.params.id, request.session.email];
  const { rowCount } = await query('DELETE FROM llm_usage WHERE id = $1 AND user_id = $2', values);
  if (rowCount === 0) return response.status(404).json({ error: 'no such chat' });
  response.status(204).end();
});

app.get('/api/llm/stats', (_, response) => {
  response.json({
    requests: calls.requests,
    cacheHits: calls.cacheHits,
    togetherAI: { requests: calls.requests - calls.cacheHits, failures: calls.failures },
    pool: { max: settings.pool.max, used: pool.totalCount - pool.idleCount, pending: pool.waitingCount },
    pool_wait_ms: waits,
  });
});
for (const path of ['/api/llm/health', '/healthz']) app.get(path, (_, response) => response.json({ status: 'ok' }));

app.use((request, response) => response.status(404).json({ error: 'no such path' }));
// eslint-disable-next-line no-unused-vars -- express knows an error handler by its four parameters
app.use((error, request, response, next) => {
  if (response.headersSent) return response.destroy();
  const waited = error.message?.includes('timeout exceeded when trying to connect');
  const status = error.status ?? (waited ? 503 : 500);
  response.status(status).json({ error: status < 500 ? error.message : waited ? 'the pool is exhausted' : 'it failed' });
});

if (settings.blockLoopMs > 0) {
  setInterval(() => {
    const until = performance.now() + settings.blockLoopMs;
    while (performance.now() < until);
  }, settings.blockLoopEveryMs + settings.blockLoopMs).unref();
}

const server = app.listen(settings.port, '127.0.0.1', (error) => {
  if (error) {
    console.error(`cannot listen on 127.0.0.1:${settings.port}: ${error.message}`);
    process.exit(1);
  }
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
// Longer than a client keeps a connection idle, so that it is the client that closes.
server.keepAliveTimeout = 65000;

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    server.close();
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 2000).unref();
    await Promise.race([pool.end(), new Promise((resolve) => setTimeout(resolve, 2000).unref())]).catch(() => {});
    await shutdown();
    process.exit(0);
  });
}
