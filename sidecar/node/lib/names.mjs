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
