// Which requests are pacecar's.
//
// Both markers must agree: the run id in `baggage`, and the first half of the trace id in `traceparent`. A request of
// a customer, whose gateway writes either header, has neither. Whatever else the headers hold is passed over.

/** The most of all `baggage` that is read, in bytes: what W3C Baggage asks of everybody. */
const MOST = 8192;
/** The most of a name that is kept, in bytes. */
const LONGEST = 256;
const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const RUN = /^[0-9a-f]{16}$/;
const ZEROS = /^0+$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The request of pacecar's that this is, and its trace; undefined where it is a real one. */
export function recognise(request) {
  // Few requests have baggage, and hardly any real one has ours.
  if (!String(request.headers?.baggage ?? '').includes('pacecar.run')) return undefined;
  const parents = valuesOf(request, 'traceparent');
  const trace = parents.length === 1 ? traceOf(parents[0]) : undefined;
  const named = trace && members(valuesOf(request, 'baggage'));
  if (!named || !trace.startsWith(named.run)) return undefined;
  return { trace, synthetic: named };
}

/** The trace id of a `traceparent`; undefined where it is none. */
export function traceOf(text) {
  const fields = PARENT.exec(text.trim());
  if (!fields) return undefined;
  const [, version, trace, span, more] = fields;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  return ZEROS.test(trace) || ZEROS.test(span) ? undefined : trace;
}

/** pacecar's members of all `baggage` headers; undefined where no run is named, or one that is none. */
export function members(values) {
  let budget = MOST;
  const found = { run: undefined, tenant: '', scenario: '', step: '' };
  for (const value of values) {
    if (value.length > budget) continue;
    budget -= value.length;
    const text = textOf(value);
    if (text === undefined) continue;
    for (const member of text.split(',')) {
      const pair = member.split(';', 1)[0];
      const at = pair.indexOf('=');
      if (at < 0) continue;
      const [key, said] = [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
      if (key === 'pacecar.run') {
        if (!RUN.test(said) || ZEROS.test(said)) return undefined;
        found.run = said;
      } else if (key === 'pacecar.tenant') found.tenant = decoded(said);
      else if (key === 'pacecar.scenario') found.scenario = decoded(said);
      else if (key === 'pacecar.step') found.step = decoded(said);
    }
  }
  return found.run === undefined ? undefined : found;
}

/** Node gives each byte of a header as one character; undefined where they are no UTF-8. */
function textOf(value) {
  try {
    return utf8.decode(Buffer.from(value, 'latin1'));
  } catch {
    return undefined;
  }
}

/** Undoes percent-encoding; what is no UTF-8 is replaced, as W3C Baggage asks. */
function decoded(value) {
  const from = Buffer.from(value, 'utf8');
  const bytes = Buffer.alloc(Math.min(from.length, LONGEST));
  let length = 0;
  for (let at = 0; at < from.length && length < LONGEST; at += 1) {
    const digits = from[at] === 0x25 ? from.toString('latin1', at + 1, at + 3) : '';
    if (/^[0-9a-fA-F]{2}$/.test(digits)) {
      bytes[length++] = Number.parseInt(digits, 16);
      at += 2;
    } else {
      bytes[length++] = from[at];
    }
  }
  return bytes.toString('utf8', 0, length);
}

/** Each value of a header: Node joins them in `headers`, and what is joined cannot be told apart. */
function valuesOf(request, name) {
  const raw = request.rawHeaders;
  const values = [];
  for (let at = 0; Array.isArray(raw) && at + 1 < raw.length; at += 2) {
    if (String(raw[at]).toLowerCase() === name) values.push(String(raw[at + 1]));
  }
  if (values.length === 0 && request.headers[name] !== undefined) return [request.headers[name]].flat().map(String);
  return values;
}
