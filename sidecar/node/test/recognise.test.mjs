// Who counts as synthetic: the vectors of src/semconv and src/middleware/recognise.rs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prove, proves, secretOf } from '../lib/proof.mjs';
import { members, recognise, traceOf } from '../lib/recognise.mjs';

const NOW = 1_800_000_000_000;
const TRACE = '00000000000000070000000000000001';
const SECRET = secretOf('correct horse battery');
const PARENT = '00-0123456789abcdef0000000000000007-00000000000000aa-01';
const OTHER = '00-fedcba98765432100000000000000007-00000000000000aa-01';
const BAGGAGE = 'pacecar.run=0123456789abcdef,pacecar.scenario=main,pacecar.tenant=7,pacecar.step=log%20in';

test('a proof is what others compute', () => {
  assert.equal(
    prove('correct horse battery', TRACE, NOW),
    'v1-000000006b49d200-848a1a2d068e7e6e462b2a549f0f56d29a6f57009ae4cf9f1b304d51b6afe634',
  );
});

test('a proof holds for its trace and for a minute', () => {
  const proof = prove('correct horse battery', TRACE, NOW);
  for (const [after, good] of [[0, true], [60, true], [61, false], [-30, true], [-31, false]]) {
    assert.equal(proves(SECRET, proof, TRACE, NOW + after * 1000), good, `${after} s later`);
  }
  assert.ok(!proves(SECRET, proof, TRACE.replace(/1$/, '2'), NOW), 'another trace');
  assert.ok(!proves(secretOf('correct horse batterz'), proof, TRACE, NOW), 'another secret');
});

test('every byte of a proof counts', () => {
  const proof = prove('correct horse battery', TRACE, NOW);
  for (let at = 0; at < proof.length; at += 1) {
    const forged = proof.slice(0, at) + (proof[at] === '0' ? '1' : '0') + proof.slice(at + 1);
    assert.ok(!proves(SECRET, forged, TRACE, NOW), `byte ${at}`);
  }
  for (const garbage of ['', proof.slice(1), `${proof}0`, proof.toUpperCase(), undefined, [proof], 'ÿ'.repeat(84)]) {
    assert.ok(!proves(SECRET, garbage, TRACE, NOW), String(garbage));
  }
  assert.throws(() => secretOf('short'), RangeError);
});

const request = (pairs) => {
  const headers = {};
  for (const [name, value] of pairs) headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  return { headers, rawHeaders: pairs.flat() };
};

test('trace and baggage must name the same run', () => {
  const parent = ['traceparent', PARENT];
  const baggage = ['baggage', BAGGAGE];
  const found = recognise(request([parent, ['baggage', 'a=b'], baggage])).synthetic;
  assert.deepEqual(found, { run: '0123456789abcdef', tenant: '7', scenario: 'main', step: 'log in' });
  for (const real of [
    [],
    [parent],
    [baggage],
    [['traceparent', OTHER], baggage],
    [parent, ['baggage', 'pacecar.run=fedcba9876543210']],
    [parent, ['baggage', 'a=b']],
    [['traceparent', 'garbage'], baggage],
    [parent, ['traceparent', OTHER], baggage],
  ]) {
    assert.equal(recognise(request(real)), undefined, JSON.stringify(real));
  }
});

test('malformed traceparents are refused', () => {
  for (const text of [
    '',
    '00',
    'ff-0123456789abcdef0000000000000007-00000000000000aa-01',
    `${PARENT}-more`,
    '00-00000000000000000000000000000000-00000000000000aa-01',
    '00-0123456789abcdef0000000000000007-00000000000000AA-01',
    '00-0123456789abcdef0000000000000007-00000000000000aa-+1',
  ]) {
    assert.equal(traceOf(text), undefined, text);
  }
  assert.ok(traceOf(`01${PARENT.slice(2)}-more`));
});

test('baggage is read as it was written, and garbage is nobody', () => {
  const text = 'x=y ,pacecar.run=0000000000000001,pacecar.tenant=t%2C1=%C3%BC;p=1 , pacecar.step = log%22in%25%3B,m=1';
  assert.deepEqual(members([text]), { run: '0000000000000001', tenant: 't,1=ü', scenario: '', step: 'log"in%;' });
  for (const garbage of ['', 'a=b', 'pacecar.tenant=1', 'pacecar.run=', 'pacecar.run=garbage', 'pacecar.run',
    'pacecar.run=0000000000000000', 'a=pacecar.run=0123456789abcdef', 'xpacecar.run=0123456789abcdef',
    'pacecar.run=0123456789ABCDEF', "pacecar.run=0123456789abcde'", 'ÿþpacecar.run=0123456789abcdef']) {
    assert.equal(members([garbage]), undefined, garbage);
  }
  const long = `pacecar.run=0123456789abcdef,pacecar.tenant=${'t'.repeat(4000)}`;
  assert.equal(members([long]).tenant.length, 256);
  assert.equal(members([`${'a=b,'.repeat(8192)}pacecar.run=0123456789abcdef`]), undefined);
});
