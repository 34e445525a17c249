/* Doing something to jobs and workers, to one or to many, with what is said about it. */
import { at, FILTERS, many, number } from './words.js';
import { filterOf, now, refresh, render, S, untick } from './state.js';
import { h } from './document.js';
import { drop, toast } from './parts.js';
import { SILENCE, Trouble } from './server.js';
import { form } from './dialog.js';
import { write } from './session.js';

const AT_ONCE = 1000; // ids a request
const FEW = 100; // so many are done without a question, or without typing their number
const UNDO_MS = 8000;
const DONE = { retry: 'queued again', cancel: 'cancelled', delete: 'deleted', edit: 'changed' };

/* Does something once at a time, however often it is clicked. */
export async function act(key, does) {
  if (S.busy.has(key)) return;
  S.busy.add(key);
  render();
  try {
    await does();
  } catch (error) {
    toast(error instanceof Trouble ? error.words : SILENCE, { kind: 'error' });
  } finally {
    S.busy.delete(key);
    refresh();
  }
}

export const post = (key, path, words, body) => act(key, async () => {
  const made = await write('POST', `/api/v1/${path}`, body);
  toast(typeof words === 'function' ? words(made) : words);
});

export const startWorkers = (count) => post('workers', 'workers', (made) => `Started ${made.workers.join(', ')}`, { count });

// --- one job

const verb = (name, words) => (id) => post(`${name} ${id}`, `jobs/${id}/${name}`, `${id} is ${words}`);

export const one = {
  retry: verb('retry', 'queued again'),
  hold: verb('hold', 'held'),
  release: verb('release', 'released'),
  delete: (id) => remove({ ids: [id] }, 1),
  cancel(id, state) {
    if (state !== 'processing') return verb('cancel', 'cancelled')(id);
    form({
      title: 'Cancel a running job?', submit: 'Cancel the job', isDanger: true,
      intro: [h('p', 'Its command and all it started are ended: ', h('code', id))],
      onsubmit: async () => {
        await write('POST', `/api/v1/jobs/${id}/cancel`);
        toast(`${id} is cancelled`);
      },
    });
  },
};

// --- many: a target is { ids }, or { filter, matched }

/* A filter is frozen at the moment of the click: what matches can only become fewer. */
export async function freeze(filter, last) {
  const seen = [...S.list.rows.values()].map((row) => row.updated_at);
  const newest = Math.max(now(), ...[last, ...seen].filter(Boolean).map((iso) => at(iso) + 1));
  const frozen = { ...filter, until: filter.until || new Date(newest).toISOString() };
  const { matched } = await write('POST', '/api/v1/bulk', { action: 'retry', filter: frozen, dry_run: true });
  return { filter: frozen, matched };
}

export const chosen = async () => (S.all ? freeze(filterOf(S.view.params)) : { ids: [...S.ticked] });

export async function bulk(action, target, body = {}, more = {}) {
  const ids = [], failed = [];
  const send = async (which) => {
    const made = await write('POST', '/api/v1/bulk', { action, ...which, ...body }, more);
    ids.push(...made.ids);
    failed.push(...made.failed);
    return made;
  };
  let left = 0;
  if (target.ids) for (let i = 0; i < target.ids.length; i += AT_ONCE) await send({ ids: target.ids.slice(i, i + AT_ONCE) });
  else left = await bulkFilter(target, send, body.limit);
  tell(action, ids.length, failed, left);
  return ids;
}

/* The server takes so many at a time, and says how many are left; it refuses another number than was confirmed. */
async function bulkFilter({ filter, matched }, send, limit) {
  for (let left = matched; left;) {
    try {
      const made = await send({ filter, expected: left });
      if (limit) return 0;
      left = made.left;
      if (made.failed.length || !made.ids.length) return left;
    } catch (error) {
      if (error.status !== 409 || error.matched == null) throw error;
      left = error.matched;
    }
  }
  return 0;
}

function tell(action, done, failed, left) {
  if (!failed.length && !left) return toast(`${many(done, 'job')} ${DONE[action]}`);
  const why = failed.length ? `${failed[0].id}: ${failed[0].detail}` : `${number(left)} left`;
  return toast(`${number(done)} of ${many(done + failed.length + left, 'job')} ${DONE[action]}. ${why}`, { kind: 'error' });
}

/* Nothing is deleted before eight seconds are over: until then it can be undone. */
export function remove(target, count) {
  const going = { ids: new Set(target.ids), filter: target.filter };
  const end = () => {
    clearTimeout(timer);
    S.going = S.going.filter((each) => each !== going);
    drop(going.note);
  };
  going.undo = () => {
    end();
    toast('Nothing was deleted');
  };
  going.send = (how) => {
    end();
    return act(going.note.key, async () => {
      const ids = new Set(await bulk('delete', target, {}, how));
      S.list.order = S.list.order.filter((id) => !ids.has(id));
      for (const id of ids) S.ticked.delete(id);
      S.list.take ||= !!target.filter;
      if (ids.has(S.view.id)) location.hash = '#/jobs';
    });
  };
  const timer = setTimeout(going.send, UNDO_MS);
  S.going.push(going);
  going.note = toast(`${many(count, 'job')} will be deleted`, { until: now() + UNDO_MS, undo: going.undo, isCounting: true });
}

export const isGoing = (id) => S.going.some((going) => going.ids.has(id) || (going.filter && S.all));

function clear() {
  S.list.take ||= S.all;
  untick();
}

/* Does it to a target, after a question where much could be lost. */
export function doAll(action, target) {
  const count = target.ids ? target.ids.length : target.matched;
  if (!count) return toast('No job matches any more');
  if (action === 'priority') return askPriority(target, count);
  if (action === 'retry' && count <= FEW && target.ids) {
    clear();
    return act('bulk', () => bulk(action, target));
  }
  const jobs = many(count, 'job'), which = target.filter ? ` that match ${spell(target.filter)}` : '';
  const [word, means] = {
    retry: ['Retry', 'will run again.'],
    cancel: ['Cancel', 'will not run; what runs is ended.'],
    delete: ['Delete', 'and their output go for good. For eight seconds you can undo it.'],
  }[action];
  const isGrave = count > FEW && action !== 'retry';
  return form({
    title: `${word} ${jobs}?`, submit: `${word} ${jobs}`, isDanger: action !== 'retry',
    intro: [h('p', `${jobs}${which} ${means}`)],
    fields: isGrave ? [{ name: 'count', label: `Type ${count} to go on`, required: true, inputmode: 'numeric' }] : [],
    onsubmit: async (values) => {
      if (isGrave && values.count.replace(/\D/g, '') !== String(count)) throw wrong('count', 'That is another number', `type ${count}`);
      if (action === 'delete') remove(target, count);
      else await bulk(action, target);
      if (action !== 'delete' || !S.all) clear();
    },
  });
}

const askPriority = (target, count) => form({
  title: `Priority of ${many(count, 'job')}`, submit: 'Set priority',
  fields: [{ name: 'priority', label: 'Priority', type: 'number', required: true, value: '0', hint: '-1000 to 1000; higher runs first' }],
  onsubmit: async ({ priority }) => {
    await bulk('edit', target, { set: { priority: +priority } });
    clear();
  },
});

/* What a form refuses itself, as the server would. */
export const wrong = (field, words, detail) => new Trouble({ detail: words, errors: [{ pointer: `/${field}`, detail }] }, 422);

const spell = (filter) => Object.entries(filter).filter(([name]) => name !== 'until' || S.view.params.until)
  .map(([name, value]) => `${FILTERS[name].toLowerCase()} ${value}`).join(', ') || 'now';
