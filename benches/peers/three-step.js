// three-step.yaml for k6: the same requests, headers, capture, checks and metrics, written as
// its documentation teaches. What pacecar does by itself (trace context, baggage, who the user
// is) a script has to do for itself: it is part of the work that is compared.
import http from 'k6/http';
import exec from 'k6/execution';
import { check, group, sleep } from 'k6';
import { Rate, Trend } from 'k6/metrics';

const latency = new Trend('llm_latency', true);
const tokens = new Trend('tokens_per_request');
const cost = new Trend('cost_per_request');
const hits = new Rate('cache_hits');

const base = __ENV.API_URL;
const think = Number(__ENV.THINK || 0);
const run = hex(8);

// `bytes` random bytes in hex.
function hex(bytes) {
  let text = '';
  for (let i = 0; i < bytes; i++) text += (256 + Math.floor(Math.random() * 256)).toString(16).slice(1);
  return text;
}

function headers(trace, tenant, step, more) {
  return Object.assign(more, {
    traceparent: `00-${trace}-${hex(8)}-01`,
    baggage: `pacecar.run=${run},pacecar.scenario=closed,pacecar.tenant=${tenant},pacecar.step=${step}`,
  });
}

export default function () {
  const tenant = 1 + Math.floor(Math.random() * 200);
  const email = `test-${tenant}-${1 + (exec.vu.idInTest % 5)}@example.com`;
  const trace = run + hex(8);
  let bearer;

  group('login', () => {
    const answer = http.post(
      `${base}/auth/v1/token?grant_type=password`,
      JSON.stringify({ email, password: 'secret' }),
      { headers: headers(trace, tenant, 'login', { 'content-type': 'application/json' }), tags: { step: 'login' } },
    );
    check(answer, { 'login status': (r) => r.status === 200 });
    bearer = `Bearer ${answer.json('access_token')}`;
  });
  group('profile', () => {
    const answer = http.get(`${base}/api/user/profile`, {
      headers: headers(trace, tenant, 'profile', { authorization: bearer }),
      tags: { step: 'profile' },
    });
    check(answer, { 'profile status': (r) => r.status === 200 || r.status === 304 });
  });
  group('agent', () => {
    const answer = http.post(`${base}/api/llm/chat`, JSON.stringify({ prompt: `What changed for ${email}?` }), {
      headers: headers(trace, tenant, 'agent', { 'content-type': 'application/json', authorization: bearer }),
      tags: { step: 'agent' },
    });
    check(answer, { 'agent status': (r) => r.status === 200 });
    const body = answer.json();
    latency.add(answer.timings.duration);
    tokens.add(body.usage.total_tokens);
    cost.add(body.cost);
    hits.add(body.cached);
  });
  if (think) sleep(think);
}
