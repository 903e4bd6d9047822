// OpenTelemetry for this service: spans of http, express and pg, the pool's and the runtime's metrics, out by OTLP.
//
// Loaded before anything that it instruments (server.mjs imports it first). Where spans go is the standard
// variable's to say: OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 points at pacecar. Without it nothing is
// exported and nothing is instrumented.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

// The SDK's defaults (spans after 5 s, metrics each minute) are for dashboards, not for a run of a minute.
process.env.OTEL_BSP_SCHEDULE_DELAY ??= '1000';
process.env.OTEL_METRIC_EXPORT_INTERVAL ??= '1000';
process.env.OTEL_METRIC_EXPORT_TIMEOUT ??= '1000';
process.env.OTEL_TRACES_EXPORTER ??= 'otlp';
process.env.OTEL_METRICS_EXPORTER ??= 'otlp';
process.env.OTEL_LOGS_EXPORTER ??= 'none';
process.env.OTEL_SERVICE_NAME ??= 'node-api';

/** Sends what is left, at most two seconds long. Does nothing where nothing is exported. */
export let shutdown = async () => {};

if (process.env.OTEL_EXPORTER_OTLP_ENDPOINT) {
  const { NodeSDK } = require('@opentelemetry/sdk-node');
  const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
  const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');
  const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
  const { RuntimeNodeInstrumentation } = require('@opentelemetry/instrumentation-runtime-node');

  const sdk = new NodeSDK({
    instrumentations: [
      new HttpInstrumentation(),
      new ExpressInstrumentation(),
      // `pg-pool.connect` is the evidence for waiting on the pool: never set `ignoreConnectSpans`.
      new PgInstrumentation({ requireParentSpan: true }),
      // At its default it looks each 10 ms; a delay is told together with that distance.
      new RuntimeNodeInstrumentation(),
    ],
  });
  sdk.start();
  shutdown = () =>
    Promise.race([sdk.shutdown().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
}
