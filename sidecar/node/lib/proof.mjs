// Proof that a request comes from who knows a shared secret: the value of the header `pacecar-proof`.
//
// `v1-ISSUED-MAC`: when it was made (seconds since 1970, 16 hex digits), and HMAC-SHA-256 over the trace id and that
// time. Bound to one trace and short-lived: who catches one can neither use it for another trace nor later.
import { createHmac, timingSafeEqual } from 'node:crypto';

/** How old a proof may be, in seconds. */
const LIFETIME = 60n;
/** How far the clock of who made it may be ahead, in seconds. */
const AHEAD = 30n;
/** The shortest secret, in bytes. */
const SHORTEST = 16;
const DOMAIN = Buffer.from('pacecar-proof v1\0', 'latin1');
const FORM = /^v1-([0-9a-f]{16})-([0-9a-f]{64})$/;

/** A secret as bytes. Throws where it could be guessed: that is a mistake of the set-up, not of a request. */
export function secretOf(secret) {
  const bytes = typeof secret === 'string' ? Buffer.from(secret, 'utf8') : Buffer.from(secret);
  if (bytes.length < SHORTEST) throw new RangeError('the secret is shorter than 16 bytes');
  return bytes;
}

/** Makes the proof for the requests of a trace (32 hex digits); `now` in ms since 1970. */
export function prove(secret, trace, now = Date.now()) {
  const issued = BigInt(Math.floor(now / 1000));
  return `v1-${issued.toString(16).padStart(16, '0')}-${mac(secretOf(secret), trace, issued).toString('hex')}`;
}

/** Whether `proof` was made for this trace by who knows the secret (bytes), and not too long ago. */
export function proves(secret, proof, trace, now = Date.now()) {
  const fields = typeof proof === 'string' ? FORM.exec(proof) : null;
  if (!fields) return false;
  const issued = BigInt(`0x${fields[1]}`);
  const at = BigInt(Math.floor(now / 1000));
  // The comparison takes the same time wherever they differ.
  const same = timingSafeEqual(mac(secret, trace, issued), Buffer.from(fields[2], 'hex'));
  return same && issued <= at + AHEAD && at - issued <= LIFETIME;
}

function mac(secret, trace, issued) {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(issued);
  return createHmac('sha256', secret).update(DOMAIN).update(Buffer.from(trace, 'hex')).update(time).digest();
}
