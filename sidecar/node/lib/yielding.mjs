// Synthetic traffic yields to real traffic: under pressure synthetic requests are turned away first.
//
// 503 with `Retry-After` and the marker `pacecar-shed`, by which pacecar counts them as shed and not as failed, and
// pauses. Real requests pass, and nothing is asked for them but to be counted. It stands behind `synthetic`.
import { SHED } from './names.mjs';

/** Express middleware. All limits are "more than"; without any it turns nobody away. */
export function yielding(options) {
  const sources = sourcesOf(options);
  return function pacecarYielding(request, response, next) {
    const reason = request.synthetic && sources.reason();
    if (!reason) {
      sources.admit(response);
      return next();
    }
    response.statusCode = 503;
    response.setHeader(SHED, reason);
    response.setHeader('retry-after', sources.retryAfter);
    response.end();
  };
}

/** The same for Fastify: `app.register(yieldingPlugin, { inFlight: 200 })`, after `syntheticPlugin`. */
export function yieldingPlugin(app, options, done) {
  const sources = sourcesOf(options);
  app.addHook('onRequest', (request, reply, next) => {
    const reason = request.synthetic && sources.reason();
    if (!reason) {
      sources.admit(reply.raw);
      return next();
    }
    reply.code(503).header(SHED, reason).header('retry-after', sources.retryAfter).send('');
  });
  done();
}
yieldingPlugin[Symbol.for('skip-override')] = true;
yieldingPlugin[Symbol.for('fastify.display-name')] = 'pacecar-yielding';

function sourcesOf({ inFlight, waiting, pool, when, retryAfter = 1 } = {}) {
  if (waiting !== undefined && pool === undefined) throw new TypeError('`waiting` needs `pool`: whose queue it is');
  let count = 0;
  return {
    // Whole seconds, as the header has them: later rather than too early, and never at once.
    retryAfter: String(Math.max(1, Math.ceil(Number(retryAfter) || 1))),
    /** Why synthetic requests are turned away now, as one word; undefined while there is room. */
    reason() {
      if (inFlight !== undefined && count > inFlight) return 'in-flight';
      if (waiting !== undefined && pool.waitingCount > waiting) return 'pool';
      return when?.() ? 'pressure' : undefined;
    },
    /** A request is in flight until its answer is out or its connection gone. */
    admit(response) {
      count += 1;
      response.once('close', () => {
        count -= 1;
      });
    },
  };
}
