// The names that this package shares with pacecar: headers, attributes, metrics.

export const PROOF = 'pacecar-proof';
export const SHED = 'pacecar-shed';
export const SERVER_TIMING = 'server-timing';
/** The setting by which the database knows the run that a transaction belongs to. */
export const RUN_SETTING = 'pacecar.run_id';
export const SYNTHETIC_TYPE = 'user_agent.synthetic.type';
export const SYNTHETIC_TEST = 'test';
export const TIME_IN_QUEUE = 'http.server.request.time_in_queue';
export const METER = 'pacecar';
/** Bounds of the times in seconds: waits are short until they are long. */
export const BOUNDS = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** Bounds of the wait for a connection: twelve a decade, so that what is read from a bucket is right to a tenth. */
export const FINE_BOUNDS = [
  0.0001,
  0.0003,
  ...[0.001, 0.01, 0.1, 1].flatMap((decade) =>
    [1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2].map((step) => Number((decade * step).toPrecision(2)))),
  10,
];
