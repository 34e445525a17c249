/* Asking the server. */
import { at } from './escape.js';
import { keep, S } from './state.js';

const IDS_CHARS = 8000; // of an address
export const SILENCE = 'The server does not answer; nothing was changed';

/* What the server answered instead: a problem of RFC 9457 with its status. */
export class Trouble extends Error {
  constructor(problem, status) {
    super(problem.detail || `The server answered ${status}`);
    Object.assign(this, problem, { status });
  }

  get words() { return `${this.message}${this.hint ? ` (${this.hint})` : ''}`; }
}

/* What a form refuses itself, as the server would. */
export const wrong = (field, words, detail) => new Trouble({ detail: words, errors: [{ pointer: `/${field}`, detail }] }, 422);

export async function api(method, path, body, { headers, ...more } = {}) {
  const isWrite = method !== 'GET';
  const answer = await fetch(path, {
    method, ...more,
    headers: isWrite ? { ...headers, 'X-QueueCTL-Token': keep('write') || '', 'Content-Type': 'application/json' } : headers,
    body: isWrite ? JSON.stringify(body || {}) : undefined,
  });
  const skew = at(answer.headers.get('date')) - Date.now(); // cut to the second: the largest seen is the nearest
  if (!Number.isNaN(skew) && (S.skew == null || skew > S.skew || skew < S.skew - 3000)) S.skew = skew;
  if (answer.ok || answer.status === 304) return answer;
  throw new Trouble(await answer.json().catch(() => ({})), answer.status);
}

/* Asks for what may not have changed since the slot was filled. */
export async function get(path, slot) {
  const old = S.slots[slot]?.path === path ? S.slots[slot] : {};
  const answer = await api('GET', path, null, { headers: old.etag ? { 'If-None-Match': old.etag } : {} });
  if (answer.status === 304) return old.body;
  const body = await answer.json();
  S.slots[slot] = { path, etag: answer.headers.get('etag'), body };
  return body;
}

/* Returns those of these jobs that exist, by id. */
export async function lookUp(ids) {
  const found = new Map(), pieces = [];
  let room = 0;
  for (const id of ids) {
    if ((room -= id.length + 1) < 0) {
      pieces.push([]);
      room = IDS_CHARS - id.length;
    }
    pieces.at(-1).push(id);
  }
  for (const piece of pieces) {
    const { jobs } = await (await api('GET', `api/v1/jobs?ids=${piece}`)).json();
    for (const job of jobs) found.set(job.id, job);
  }
  return found;
}

export async function jobOrNull(id) {
  try {
    return await (await api('GET', `api/v1/jobs/${encodeURIComponent(id)}`)).json();
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}
