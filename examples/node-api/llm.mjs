// A stand-in for a language model, behind HTTP as a real one: its calls are spans of kind CLIENT.
import { createRequire } from 'node:module';
import { settings } from './settings.mjs';

// By `require`, for its instrumentation to see it.
const { createServer, request: httpRequest, Agent } = createRequire(import.meta.url)('node:http');
const { llm } = settings;
const agent = new Agent({ keepAlive: true });

export const calls = { requests: 0, cacheHits: 0, failures: 0 };

/** Starts the stand-in on a free port of 127.0.0.1; answers with what asks it. */
export async function startLlm() {
  const server = createServer((incoming, outgoing) => {
    let body = '';
    incoming.setEncoding('utf8').on('data', (part) => (body += part));
    incoming.on('end', () => {
      const { prompt, cached } = JSON.parse(body);
      const vary = () => 1 + llm.jitter * (2 * Math.random() - 1);
      const failed = !cached && Math.random() < llm.failureRate;
      setTimeout(() => {
        outgoing.writeHead(failed ? 502 : 200, { 'content-type': 'application/json' });
        const prompt_tokens = Math.max(1, Math.ceil(prompt.length / 4));
        const completion_tokens = Math.round(llm.tokens * vary());
        outgoing.end(JSON.stringify({ prompt_tokens, completion_tokens }));
      }, llm.latencyMs * vary() * (cached ? 0.1 : 1));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  const { port } = server.address();
  return (prompt) => ask(port, prompt);
}

function ask(port, prompt) {
  const cached = Math.random() < llm.cacheHitRate;
  calls.requests += 1;
  if (cached) calls.cacheHits += 1;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ host: '127.0.0.1', port, path: '/v1/complete', method: 'POST', agent }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (part) => (body += part));
      answer.on('end', () => {
        if (answer.statusCode !== 200) {
          calls.failures += 1;
          return reject(Object.assign(new Error('the language model failed'), { status: 502 }));
        }
        const { prompt_tokens, completion_tokens } = JSON.parse(body);
        resolve({ prompt_tokens, completion_tokens, cost: cached ? 0 : llm.cost, cached });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify({ prompt, cached }));
  });
}
