// What a Node API embeds: tells pacecar's requests from real ones, lets them yield, and measures its pools.
export { pool } from './lib/pool.mjs';
export { as, current } from './lib/scope.mjs';
export { queued, synthetic, syntheticPlugin } from './lib/synthetic.mjs';
export { threadpool } from './lib/threadpool.mjs';
export { yielding, yieldingPlugin } from './lib/yielding.mjs';
