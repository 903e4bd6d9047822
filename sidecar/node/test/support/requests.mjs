// Requests as pacecar sends them.
import { request as httpRequest } from 'node:http';
import { prove } from '../../lib/proof.mjs';

export const RUN = '0123456789abcdef';
export const SECRET = 'correct horse battery';

/** The headers of a synthetic request of tenant `n`; with a secret, also the proof. */
export function headers(n = 7, { run = RUN, secret } = {}) {
  const trace = `${run}${n.toString(16).padStart(16, '0')}`;
  return {
    traceparent: `00-${trace}-00000000000000aa-01`,
    baggage: `pacecar.run=${run},pacecar.scenario=main,pacecar.tenant=${n},pacecar.step=log%20in`,
    ...(secret && { 'pacecar-proof': prove(secret, trace) }),
  };
}

/** Sends one; resolves with status, headers and the body. */
export function send(port, { path = '/', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ host: '127.0.0.1', port, path, headers, method: body ? 'POST' : 'GET', agent: false });
    outgoing.on('error', reject).on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    });
    outgoing.end(body);
  });
}
