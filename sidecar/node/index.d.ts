// Types of `pacecar`. They name no type of Express, Fastify or pg: those who use them have their own.
import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request of pacecar's. Names are as the plan has them, at most 256 bytes each; empty where it does not say. */
export interface Synthetic {
  /** The run that it belongs to: 16 hex digits. */
  readonly run: string;
  /** The tenant that it plays. */
  readonly tenant: string;
  readonly scenario: string;
  readonly step: string;
}

declare module 'node:http' {
  interface IncomingMessage {
    /** Where the request is one of pacecar's: set by `synthetic`. */
    synthetic?: Synthetic;
  }
}

export interface SyntheticOptions {
  /** Only who proves that he knows it counts as synthetic: at least 16 bytes, the same as `PACECAR_SECRET` of pacecar. */
  secret?: string | Uint8Array;
  /** Only requests of runs for which this is true count. */
  known?: (run: string) => boolean;
}

export interface YieldingOptions {
  /** Synthetic requests are turned away while more than so many requests are in flight. */
  inFlight?: number;
  /** … while more than so many wait for a connection of `pool`. */
  waiting?: number;
  pool?: { readonly waitingCount: number };
  /** … while this says so. Asked for each synthetic request: it must answer at once. */
  when?: () => boolean;
  /** What `Retry-After` says, in seconds, rounded up; 1 unless it is said. */
  retryAfter?: number;
}

export type Middleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void;
/** As `FastifyPluginCallback`, without Fastify's types. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Plugin<Options> = (app: any, options: Options, done: (error?: Error) => void) => void;

/** Recognises synthetic requests: the first middleware. Throws on a secret of fewer than 16 bytes. */
export function synthetic(options?: SyntheticOptions): Middleware;
/** Stands next to the handlers: the time from `synthetic` to here is the wait for the handler. */
export function queued(): Middleware;
/** `synthetic` and `queued` for Fastify. */
export const syntheticPlugin: Plugin<SyntheticOptions>;

/** Turns synthetic requests away under pressure: 503, `Retry-After`, `pacecar-shed`. Behind `synthetic`. */
export function yielding(options: YieldingOptions): Middleware;
export const yieldingPlugin: Plugin<YieldingOptions>;

/** The synthetic request that is being worked on; undefined for a real one. */
export function current(): Synthetic | undefined;
/** Does `work` as part of a synthetic request, or of a real one (undefined): for queues that lose the context. */
export function as<T>(synthetic: Synthetic | undefined, work: () => T): T;

export interface PoolOptions {
  /** `db.client.connection.pool.name`; `pg` unless it is said. */
  name?: string;
  /** `@opentelemetry/instrumentation-pg` is in use: it tells `.count`, `.max` and `.pending_requests` already. */
  instrumented?: boolean;
  /** Whether a synthetic SELECT outside of a transaction gets one too (a function may write); true unless it is said. */
  reads?: boolean;
  /** Told each wait for a connection in ms, also one that ended without; it must not throw. */
  onWait?: (ms: number) => void;
}

/** What `pool` needs of pg's Pool. */
export interface PoolLike {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  connect(...args: any[]): any;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  query(...args: any[]): any;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  on(event: any, listener: (...args: any[]) => void): unknown;
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

/** What connecting resolves with. */
export type ClientOf<P> = P extends { connect(): Promise<infer Client> } ? Client : unknown;

/** Measures a Pool of pg, and tags the transactions of synthetic requests; use what it returns in the Pool's place. */
export function pool<P extends PoolLike>(
  inner: P,
  options?: PoolOptions,
): P & {
  /** Does `work` in one transaction: committed, or rolled back where it throws. */
  transaction<T>(work: (client: ClientOf<P>) => Promise<T>): Promise<T>;
  /** The waits for a connection since the pool was made: how many, and all together in ms. */
  waits(): { count: number; total: number };
};

/** A running probe. */
export interface Probe {
  /** The last wait for a thread in ms; undefined before the first. */
  readonly last: number | undefined;
  readonly probes: number;
  stop(): Promise<void>;
}

/** Measures the wait for a thread of libuv's pool, every `interval` ms (100; at least 10): `nodejs.threadpool.queue_time`. */
export function threadpool(options?: { interval?: number }): Probe;
