// Passwords by scrypt, which runs on libuv's thread pool: UV_THREADPOOL_SIZE decides how many at once.
import { randomBytes, scrypt as scryptCallback, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const scrypt = promisify(scryptCallback);
const LENGTH = 32;
// About 15 ms of one core: dear enough to see a queue, cheap enough for a laptop.
const COST = { N: 4096, r: 8, p: 1 };

export async function hash(password) {
  const salt = randomBytes(16);
  const key = await scrypt(password, salt, LENGTH, COST);
  return `scrypt$${salt.toString('hex')}$${key.toString('hex')}`;
}

/** A hash that no password fits: an unknown user costs the same time as a wrong password. */
const NOBODY = `scrypt$${'00'.repeat(16)}$${'00'.repeat(LENGTH)}`;

export async function verify(password, stored) {
  const [kind, salt, key] = (stored ?? NOBODY).split('$');
  if (kind !== 'scrypt') return false;
  const found = await scrypt(password, Buffer.from(salt, 'hex'), LENGTH, COST);
  return timingSafeEqual(found, Buffer.from(key, 'hex'));
}
