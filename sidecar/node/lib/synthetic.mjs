// Recognises synthetic requests: the first middleware, or the first plugin.
//
// A synthetic request gets `request.synthetic` and a scope (scope.mjs), its span is marked, its answer says
// `Server-Timing`. For a real one nothing is done. Anybody can send the markers; a secret decides who counts.
import { context, createContextKey, trace as tracing } from '@opentelemetry/api';
import { PROOF, SERVER_TIMING, SYNTHETIC_TEST, SYNTHETIC_TYPE, TIME_IN_QUEUE } from './names.mjs';
import { proves, secretOf } from './proof.mjs';
import { recognise } from './recognise.mjs';
import { scope, scopeOf, within } from './scope.mjs';

/** Where the instrumentation of http keeps the server's span; express opens others below it. */
const RPC = createContextKey('OpenTelemetry SDK Context Key RPC_METADATA');
const SCOPE = Symbol('pacecar.scope');

/** Express middleware: `app.use(synthetic({ secret: process.env.PACECAR_SECRET }))`, before anything else. */
export function synthetic(options) {
  const judge = judgeOf(options);
  return function pacecarSynthetic(request, response, next) {
    const found = attempt(() => judge(request));
    if (!found) return next();
    request.synthetic = found.synthetic;
    attempt(() => timed(response, found));
    within(found, next);
  };
}

/** Express middleware next to the handlers: what came before it (bodies, sessions) is the wait for the handler. */
export function queued() {
  return function pacecarQueued(request, response, next) {
    attempt(reached);
    next();
  };
}

/** The same as both for Fastify: `app.register(syntheticPlugin, { secret })`. */
export function syntheticPlugin(app, options, done) {
  const judge = judgeOf(options);
  app.decorateRequest('synthetic', undefined);
  app.addHook('onRequest', (request, reply, next) => {
    const found = attempt(() => judge(request.raw));
    if (!found) return next();
    request.synthetic = found.synthetic;
    request.raw.synthetic = found.synthetic;
    request.raw[SCOPE] = found;
    within(found, next);
  });
  // A body is read in the socket's context, not in the request's.
  app.addHook('preValidation', (request, reply, next) => {
    const found = request.raw[SCOPE];
    if (found) within(found, next);
    else next();
  });
  app.addHook('preHandler', (request, reply, next) => {
    if (request.raw[SCOPE]) attempt(reached);
    next();
  });
  app.addHook('onSend', (request, reply, payload, next) => {
    const found = request.raw[SCOPE];
    if (found) attempt(() => reply.header(SERVER_TIMING, joined(reply.getHeader(SERVER_TIMING), entries(found))));
    next(null, payload);
  });
  done();
}
syntheticPlugin[Symbol.for('skip-override')] = true;
syntheticPlugin[Symbol.for('fastify.display-name')] = 'pacecar-synthetic';

/** Who counts as synthetic: the scope of a request, undefined for a real one. */
function judgeOf({ secret, known } = {}) {
  // An environment variable that is set to nothing is no secret.
  const key = secret === undefined || secret === null || secret === '' ? undefined : secretOf(secret);
  return (request) => {
    const proof = request.headers[PROOF];
    // Taken off, whatever it proves: no handler passes it on.
    if (key && proof !== undefined) takeOff(request);
    const found = recognise(request);
    if (!found || (key && !proves(key, proof, found.trace))) return undefined;
    if (known && !known(found.synthetic.run)) return undefined;
    const mine = scopeOf(Object.freeze(found.synthetic));
    attempt(() => mark(mine));
    return mine;
  };
}

function takeOff(request) {
  delete request.headers[PROOF];
  const raw = request.rawHeaders;
  for (let at = (raw?.length ?? 0) - 2; at >= 0; at -= 2) {
    if (String(raw[at]).toLowerCase() === PROOF) raw.splice(at, 2);
  }
}

function mark(mine) {
  const { run, tenant, scenario, step } = mine.synthetic;
  mine.span = context.active().getValue(RPC)?.span ?? tracing.getActiveSpan();
  mine.span?.setAttributes({
    [SYNTHETIC_TYPE]: SYNTHETIC_TEST,
    'pacecar.run': run,
    'pacecar.tenant': tenant,
    'pacecar.scenario': scenario,
    'pacecar.step': step,
  });
}

/** The handler begins. */
function reached() {
  const mine = scope();
  if (!mine) return;
  mine.queue = performance.now() - mine.arrived;
  mine.span?.setAttribute(TIME_IN_QUEUE, mine.queue / 1000);
}

/** Says where the time went when the answer's head is written, whoever writes it. */
function timed(response, mine) {
  const { writeHead } = response;
  response.writeHead = function pacecarWriteHead(...given) {
    response.writeHead = writeHead;
    const last = given.length - 1;
    attempt(() => {
      const headers = typeof given[last] === 'object' ? given[last] : undefined;
      const said = headers && !Array.isArray(headers)
        ? Object.keys(headers).find((name) => name.toLowerCase() === SERVER_TIMING)
        : undefined;
      if (said !== undefined) given[last] = { ...headers, [said]: joined(headers[said], entries(mine)) };
      else if (Array.isArray(headers)) given[last] = appended(headers, entries(mine));
      else response.setHeader(SERVER_TIMING, joined(response.getHeader(SERVER_TIMING), entries(mine)));
    });
    return writeHead.apply(response, given);
  };
}

/** Headers as a list: name, value, name, value; or pairs. */
function appended(headers, text) {
  return Array.isArray(headers[0]) ? [...headers, [SERVER_TIMING, text]] : [...headers, SERVER_TIMING, text];
}

function joined(before, text) {
  return [before ?? [], text].flat().join(', ');
}

function entries(mine) {
  const total = performance.now() - mine.arrived;
  const told = [['total', total], ['queue', mine.queue], ['pool', mine.pool]];
  return told
    .filter(([name, ms]) => name === 'total' || ms > 0)
    .map(([name, ms]) => `${name};dur=${ms.toFixed(3)}`)
    .join(', ');
}

/** What fails here is not the application's to bear. */
function attempt(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}
