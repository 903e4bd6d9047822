// The request that is being worked on, for those who are not handed it: an AsyncLocalStorage.
//
// Only synthetic requests have one. A real request pays nothing for it, and nothing of it can be taken for theirs.
import { AsyncLocalStorage } from 'node:async_hooks';

const storage = new AsyncLocalStorage();

/** What a synthetic request has with it; times in ms. */
export function scopeOf(synthetic) {
  return { synthetic, arrived: performance.now(), pool: 0, queue: 0, span: undefined };
}

/** Does `work` as part of that request. */
export function within(scope, work) {
  return storage.run(scope, work);
}

/** What is being worked on; undefined for a real request, and outside of any. */
export function scope() {
  return storage.getStore();
}

/** The synthetic request that is being worked on: `{ run, tenant, scenario, step }`. */
export function current() {
  return storage.getStore()?.synthetic;
}

/** Does `work` as a part of a synthetic request, or of a real one (undefined): for queues that lose the context. */
export function as(synthetic, work) {
  return storage.run(synthetic && scopeOf(synthetic), work);
}
