// The semantic conventions' metrics of a pool of connections (OpenTelemetry 1.44), to the global meter provider.
import { metrics as telemetry } from '@opentelemetry/api';
import { BOUNDS, FINE_BOUNDS, METER } from './names.mjs';

/** Measures `pool`. `gauges`: also what `@opentelemetry/instrumentation-pg` tells where it is in use. */
export function observe(pool, name, { gauges }) {
  const meter = telemetry.getMeter(METER);
  const attributes = { 'db.client.connection.pool.name': name };
  const time = (metric, description, explicitBucketBoundaries) =>
    meter.createHistogram(metric, { unit: 's', description, advice: { explicitBucketBoundaries } });
  const wait = time('db.client.connection.wait_time', 'How long it took to get a connection', FINE_BOUNDS);
  const use = time('db.client.connection.use_time', 'How long a connection was out', BOUNDS);
  const timeouts = meter.createCounter('db.client.connection.timeouts', {
    unit: '{timeout}',
    description: 'Those that did not get one in time',
  });
  if (gauges) watch(meter, pool, attributes);
  let [count, total] = [0, 0];
  return {
    /** Somebody got a connection after so many ms. */
    waited(ms) {
      count += 1;
      total += ms;
      wait.record(ms / 1000, attributes);
    },
    used: (ms) => use.record(ms / 1000, attributes),
    timedOut: () => timeouts.add(1, attributes),
    /** The waits since the pool was made, in ms. */
    waits: () => ({ count, total }),
  };
}

function watch(meter, pool, attributes) {
  const inState = (state) => ({ ...attributes, 'db.client.connection.state': state });
  const [idle, used] = [inState('idle'), inState('used')];
  const gauge = (metric, unit, description, read) =>
    meter.createObservableUpDownCounter(metric, { unit, description }).addCallback(read);
  gauge('db.client.connection.count', '{connection}', 'Connections by their state', (result) => {
    result.observe(pool.idleCount, idle);
    result.observe(pool.totalCount - pool.idleCount, used);
  });
  gauge('db.client.connection.max', '{connection}', 'How many there may be', (result) =>
    result.observe(pool.options.max, attributes));
  gauge('db.client.connection.pending_requests', '{request}', 'How many wait for one', (result) =>
    result.observe(pool.waitingCount, attributes));
}
