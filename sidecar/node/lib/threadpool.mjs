// How long a task waits for a thread of libuv's pool (fs, getaddrinfo, crypto, zlib): nobody else tells.
//
// libuv does not say it, so it is measured: a task that costs next to nothing is queued every so often, and the time to
// its end is the time that any other would have waited. From a Worker, whose event loop has nothing else to do: the
// pool is the whole process's, but an answer to the main thread would wait for its loop as well.
import { Worker } from 'node:worker_threads';
import { metrics } from '@opentelemetry/api';
import { BOUNDS, METER } from './names.mjs';

/** The shortest interval, in ms: a probe is not to be a load. */
const SHORTEST = 10;

/** Begins to probe; what it returns has `last` (ms, undefined before the first probe), `probes`, and `stop()`. */
export function threadpool({ interval = 100 } = {}) {
  const every = Math.max(SHORTEST, Number(interval) || 100);
  const queue = metrics.getMeter(METER).createHistogram('nodejs.threadpool.queue_time', {
    unit: 's',
    description: "How long a task waits for a thread of libuv's pool",
    advice: { explicitBucketBoundaries: BOUNDS },
  });
  const probe = { last: undefined, probes: 0, stop: async () => {} };
  try {
    // Without the process's own --import and NODE_OPTIONS: a second telemetry would start there.
    const worker = new Worker(new URL('./probe.mjs', import.meta.url), {
      workerData: { every },
      env: {},
      execArgv: [],
    });
    worker.on('message', (ms) => {
      probe.last = ms;
      probe.probes += 1;
      queue.record(ms / 1000);
    });
    // It costs the figure, not the application.
    worker.on('error', () => {});
    worker.unref();
    probe.stop = async () => void (await worker.terminate());
  } catch {
    // A runtime without workers has no figure.
  }
  return probe;
}
