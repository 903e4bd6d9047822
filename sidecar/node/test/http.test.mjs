// Express and Fastify, over sockets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import express from 'express';
import fastify from 'fastify';
import { current, queued, synthetic, syntheticPlugin, yielding, yieldingPlugin } from '../index.mjs';
import { SECRET, headers, send } from './support/requests.mjs';
import { shutdown, spans, tracer } from './support/telemetry.mjs';

after(shutdown);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a handler says of its request: as it was handed it, and as the scope has it after a wait. */
async function said(request, raw = request) {
  const handed = request.synthetic;
  await pause(Number(request.body?.wait ?? 1));
  return { handed: handed ?? null, scope: current() ?? null, proof: raw.headers['pacecar-proof'] ?? null };
}

/** The same service twice. Each knows how to hold a request until `open` is called. */
const services = {
  async express({ secret, limits } = {}) {
    const app = express();
    app.use(synthetic({ secret }));
    if (limits) app.use(yielding(limits));
    app.use(express.json(), queued());
    app.all('/', async (request, response) => response.set('server-timing', 'db;dur=1').json(await said(request)));
    app.get('/head', (request, response) => response.writeHead(200, { 'Server-Timing': 'db;dur=1' }).end('ok'));
    app.get('/hold', (request, response) => limits.held.push(() => response.end('held')));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { port: server.address().port, close: () => server.close() };
  },
  async fastify({ secret, limits } = {}) {
    const app = fastify();
    app.register(syntheticPlugin, { secret });
    if (limits) app.register(yieldingPlugin, limits);
    app.all('/', async (request, reply) => {
      reply.header('server-timing', 'db;dur=1');
      return said(request, request.raw);
    });
    app.get('/hold', (request, reply) => void limits.held.push(() => reply.send('held')));
    await app.listen({ port: 0, host: '127.0.0.1' });
    return { port: app.server.address().port, close: () => app.close() };
  },
};

for (const [name, start] of Object.entries(services)) {
  test(`${name}: synthetic and real requests at once are never mixed up`, async () => {
    const service = await start();
    try {
      const answers = await Promise.all(
        Array.from({ length: 120 }, async (_, n) => {
          const own = n % 2 ? headers(n) : {};
          const body = n % 3 ? JSON.stringify({ wait: n % 7 }) : undefined;
          return [n, await send(service.port, { headers: { ...own, 'content-type': 'application/json' }, body })];
        }),
      );
      for (const [n, { status, headers: got, text }] of answers) {
        const { handed, scope } = JSON.parse(text);
        assert.equal(status, 200);
        assert.deepEqual(handed, scope, `request ${n}`);
        assert.equal(handed?.tenant, n % 2 ? String(n) : undefined);
        const timing = got['server-timing'];
        if (n % 2) assert.match(timing, /^db;dur=1, total;dur=\d+\.\d{3}(, queue;dur=\d+\.\d{3})?$/);
        else assert.equal(timing, 'db;dur=1');
      }
    } finally {
      await service.close();
    }
  });

  test(`${name}: with a secret only who proves it counts, and no handler sees the proof`, async () => {
    const service = await start({ secret: SECRET });
    const ask = async (sent) => JSON.parse((await send(service.port, { headers: sent })).text);
    try {
      const good = headers(7, { secret: SECRET });
      const { handed, proof } = await ask(good);
      assert.equal(handed.step, 'log in');
      assert.equal(proof, null);
      for (const sent of [
        headers(7),
        { ...headers(8), 'pacecar-proof': good['pacecar-proof'] },
        headers(7, { secret: 'another secret of theirs' }),
        { ...good, 'pacecar-proof': 'garbage' },
        { 'pacecar-proof': good['pacecar-proof'] },
      ]) {
        assert.deepEqual(await ask(sent), { handed: null, scope: null, proof: null }, JSON.stringify(sent));
      }
    } finally {
      await service.close();
    }
  });

  test(`${name}: garbage in the headers is a real request`, async () => {
    const service = await start();
    try {
      for (const sent of [
        { traceparent: '%%%', baggage: 'pacecar.run=%%%' },
        { ...headers(7), baggage: `pacecar.run=${'0'.repeat(16)}` },
        { ...headers(7), traceparent: [headers(7).traceparent, headers(8).traceparent] },
        { ...headers(7), baggage: 'ÿþ,pacecar.run=0123456789abcdef' },
      ]) {
        const { status, text } = await send(service.port, { headers: sent });
        assert.equal(status, 200);
        assert.equal(JSON.parse(text).handed, null, JSON.stringify(sent));
      }
    } finally {
      await service.close();
    }
  });

  test(`${name}: under pressure synthetic requests are shed and real ones pass`, async () => {
    const pool = { waitingCount: 0 };
    const limits = { inFlight: 1, waiting: 2, pool, retryAfter: 1.5, held: [] };
    const service = await start({ limits });
    const status = async (sent) => {
      const answer = await send(service.port, { headers: sent });
      return [answer.status, answer.headers['pacecar-shed'], answer.headers['retry-after']];
    };
    try {
      assert.deepEqual(await status(headers()), [200, undefined, undefined]);
      const held = [send(service.port, { path: '/hold' }), send(service.port, { path: '/hold' })];
      while (limits.held.length < 2) await pause(5);
      assert.deepEqual(await status(headers()), [503, 'in-flight', '2']);
      assert.deepEqual(await status({}), [200, undefined, undefined]);
      for (const open of limits.held) open();
      await Promise.all(held);
      // Their answers are out before their ends are seen.
      while ((await status(headers()))[0] !== 200) await pause(5);
      pool.waitingCount = 3;
      assert.deepEqual(await status(headers()), [503, 'pool', '2']);
      assert.deepEqual(await status({}), [200, undefined, undefined]);
    } finally {
      await service.close();
    }
  });
}

test('the entry is added whoever writes the head', async () => {
  const service = await services.express();
  try {
    const { headers: got } = await send(service.port, { path: '/head', headers: headers() });
    assert.match(got['server-timing'], /^db;dur=1, total;dur=/);
    assert.equal((await send(service.port, { path: '/head' })).headers['server-timing'], 'db;dur=1');
  } finally {
    await service.close();
  }
});

test('the active span of a synthetic request is marked', async () => {
  const middleware = synthetic();
  const server = createServer((request, response) =>
    tracer.startActiveSpan('server', (span) =>
      middleware(request, response, () => {
        span.end();
        response.end();
      })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await send(server.address().port, { headers: headers() });
    await send(server.address().port);
    const [marked, real] = spans.getFinishedSpans();
    assert.deepEqual(marked.attributes, {
      'user_agent.synthetic.type': 'test',
      'pacecar.run': '0123456789abcdef',
      'pacecar.tenant': '7',
      'pacecar.scenario': 'main',
      'pacecar.step': 'log in',
    });
    assert.deepEqual(real.attributes, {});
  } finally {
    server.close();
  }
});

test('a mistake of the set-up is told at once', () => {
  assert.throws(() => synthetic({ secret: 'short' }), RangeError);
  assert.throws(() => yielding({ waiting: 3 }), TypeError);
  assert.doesNotThrow(() => synthetic({ secret: '' }));
});
