// The wait for a thread of libuv's pool, in this process.
import assert from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { spawnSync } from 'node:child_process';
import { threadpool } from '../index.mjs';
import { points, shutdown } from './support/telemetry.mjs';

after(shutdown);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seen = async (probe, count) => {
  for (let left = 2000; probe.probes < count; left -= 1) {
    assert.ok(left > 0, `${probe.probes} probes of ${count}`);
    await pause(10);
  }
};

test('a queue before the threads is seen', async () => {
  const probe = threadpool({ interval: 10 });
  await seen(probe, 3);
  // Every thread busy, and as many tasks before each: the probe waits for most of them.
  const hash = promisify(pbkdf2);
  const begun = performance.now();
  const before = probe.probes;
  let longest = 0;
  const watching = setInterval(() => {
    if (probe.probes > before) longest = Math.max(longest, probe.last);
  }, 1);
  await Promise.all(Array.from({ length: 64 }, () => hash('a', 'b', 20_000, 64, 'sha512')));
  const took = performance.now() - begun;
  await seen(probe, before + 4);
  clearInterval(watching);
  assert.ok(longest >= took / 4 && longest <= took * 2, `${longest} of ${took} ms`);
  const [point] = await points('nodejs.threadpool.queue_time');
  assert.ok(point.value.count >= 4 && point.value.max >= (longest - 1) / 1000, JSON.stringify(point.value));
  await probe.stop();
  const last = probe.probes;
  await pause(60);
  assert.equal(probe.probes, last);
});

test('a blocked event loop is not taken for a queue', async () => {
  const probe = threadpool({ interval: 10 });
  await seen(probe, 1);
  const before = probe.probes;
  const until = performance.now() + 1000;
  while (performance.now() < until);
  // What was probed meanwhile is there at once; a probe of the main thread's would have been a single one.
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.ok(probe.probes >= before + 3, `${probe.probes - before} probes`);
  await probe.stop();
});

test('it keeps no process alive, and does not start what the process preloads', () => {
  const program = `import { threadpool } from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)};
    const probe = threadpool({ interval: 10 });
    const until = setInterval(() => { if (probe.probes > 1) clearInterval(until); }, 5);`;
  const preload = `data:text/javascript,${encodeURIComponent("process.stdout.write('preloaded.')")}`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', preload, '--input-type=module', '-e', program],
    { encoding: 'utf8', timeout: 30_000, cwd: new URL('.', import.meta.url) },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'preloaded.');
});
