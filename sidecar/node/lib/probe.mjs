// The Worker of threadpool.mjs: one probe at a time, however long it takes.
import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';

function probe() {
  const begun = performance.now();
  randomBytes(1, () => {
    parentPort.postMessage(performance.now() - begun);
    setTimeout(probe, workerData.every);
  });
}
probe();
