/* Doing something to jobs and workers, to one or to many, with what is said about it. */
import { ENDED, FILTERS, many, number, STATES } from './escape.js';
import { ago, filterOf, now, refresh, render, S, untick } from './state.js';
import { dialogOpen, h } from './dom.js';
import { drop, errorBy, toast } from './components.js';
import { jobOrNull, SILENCE, Trouble } from './server.js';
import { form } from './dialog.js';
import { write } from './session.js';

const FEW = 100; // so many are done without a question, or without typing their number
const UNDO_MS = 8000;
const GONE = 410; // the server does not know the selection any more
const DONE = { retry: 'queued again', cancel: 'cancelled', delete: 'deleted', edit: 'changed' };
const DOING = { retry: 'Retrying', cancel: 'Cancelling', delete: 'Deleting', edit: 'Changing' };
const WAITING = ['pending', 'held', 'failed'];
const NOT_COMPLETED = [...WAITING, 'cancelled', 'dead'];

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

const was = (removed) => (removed?.length ? `; its expiry, ${ago(removed[0].expires_at)}, was removed` : '');
const hasEnded = (id, state) => `${id} has ended already: it is ${state}`;
const said = (id, words) => ({ unchanged, expiry_removed: removed }) =>
  (unchanged.length ? hasEnded(id, unchanged[0].state) : `${id} is ${words}${was(removed)}`);
const send = (id, name, words, body) => act(`${name} ${id}`, async () => toast(said(id, words)(await ask(id, name, body))));
const ask = (id, name, body) => write('POST', `/api/v1/jobs/${id}/${name}`, body);

/* What was not asked about does not happen to a job that is in another state by now: the server compares. If the job has
   come into the state in which there is a question, it is asked then. */
const unless = (state, question, id, name, words, body) => act(`${name} ${id}`, async () => {
  try {
    toast(said(id, words)(await ask(id, name, body)));
  } catch (error) {
    if (error.status !== 409 || (await jobOrNull(id))?.state !== state) throw error;
    question(id);
  }
});

const askAgain = (id) => form({
  title: 'Run a completed job again?', submit: 'Run it again',
  intro: [h('p', h('code', id), ' has completed. Its command runs once more.')],
  onsubmit: async () => toast(said(id, 'queued again')(await ask(id, 'retry', { if_state: ['completed'] }))),
});
const askDelete = (id, target) => form({
  title: 'Delete a running job?', submit: 'Delete the job', isDanger: true,
  intro: [
    h('p', 'Its command and all processes that it started are terminated. The job and its output are deleted permanently: ', h('code', id)),
    h('p.soft', 'You can undo this for 8 seconds.')],
  onsubmit: async () => remove(target),
});
const askEnd = (id) => form({
  title: 'Cancel a running job?', submit: 'Cancel the job', isDanger: true,
  intro: [h('p', 'Its command and all processes that it started are terminated: ', h('code', id))],
  onsubmit: async () => toast(said(id, 'cancelled')(await ask(id, 'cancel'))),
});

export const one = {
  hold: (id) => send(id, 'hold', 'held'),
  release: (id) => send(id, 'release', 'released'),
  delete: (id) => act(`delete ${id}`, async () => {
    const target = await select('delete', { ids: [id] });
    return target.by_state.processing ? askDelete(id, target) : remove(target);
  }),
  retry(id, state) {
    if (state === 'completed') askAgain(id);
    else unless('completed', askAgain, id, 'retry', 'queued again', { if_state: NOT_COMPLETED });
  },
  cancel(id, state) {
    if (ENDED.includes(state)) toast(hasEnded(id, state));
    else if (state === 'processing') askEnd(id);
    else unless('processing', askEnd, id, 'cancel', 'cancelled', { if_state: WAITING });
  },
};

// --- many: a target is what the server has selected for one action: exactly so many jobs, and no others later

/* Which are { ids } or { filter }. */
export async function select(action, which) {
  const body = which.filter && !Object.keys(which.filter).length ? { filter: { state: 'all' } } : which;
  return { ...await write('POST', '/api/v1/bulk', { action, ...body, dry_run: true }), action, which };
}

export const chosen = (action) => select(action, S.all ? { filter: filterOf(S.view.params) } : { ids: [...S.ticked] });

/* Carries out a selection, as many as the server does in a request at a time; with a limit, only the next ones. */
export async function bulk({ action, selection, matched }, body = {}, more = {}) {
  const sum = { ids: [], unchanged: [], failed: [], expiry_removed: [], left: 0 };
  const note = matched > FEW && !body.limit && toast(`${DOING[action]} ${many(matched, 'job')} …`, { until: Infinity });
  try {
    do {
      const made = await write('POST', '/api/v1/bulk', { action, selection, ...body }, more);
      for (const name of ['ids', 'unchanged', 'failed', 'expiry_removed']) sum[name].push(...made[name] || []);
      sum.left = made.left;
    } while (sum.left && !body.limit);
  } catch (error) {
    if (sum.ids.length) toast(`${many(sum.ids.length, 'job')} ${DONE[action]} before it stopped`, { kind: 'error' });
    throw error;
  } finally {
    if (note) drop(note);
  }
  tell(action, sum);
  return sum;
}

function tell(action, { ids, unchanged, failed, expiry_removed: removed }) {
  const notes = [
    removed.length && `removed the expiry of ${many(removed.length, 'job')}, which had passed`,
    unchanged.length && `skipped ${many(unchanged.length, 'job')} that had changed`,
    failed.length && `${number(failed.length)} failed: ${failed[0].id}: ${failed[0].detail}`,
  ].filter(Boolean);
  toast([`${many(ids.length, 'job')} ${DONE[action]}`, ...notes].join('; '), failed.length || unchanged.length ? { kind: 'error' } : {});
}

/* Nothing is deleted before eight seconds are over: until then it can be undone. */
export function remove(target) {
  if (!target.matched) return toast(target.failed[0]?.detail || 'No job matches any more');
  const going = { ids: new Set(target.which.ids), isAll: !target.which.ids };
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
      const ids = new Set((await bulk(target, {}, how)).ids);
      S.list.order = S.list.order.filter((id) => !ids.has(id));
      for (const id of ids) S.ticked.delete(id);
      S.list.take ||= going.isAll;
      if (ids.has(S.view.id) && !dialogOpen()) location.hash = '#/jobs';
    });
  };
  const timer = setTimeout(going.send, UNDO_MS);
  S.going.push(going);
  going.note = toast(`${many(target.matched, 'job')} will be deleted`, { until: now() + UNDO_MS, undo: going.undo, isCounting: true });
}

export const isGoing = (id) => S.going.some((going) => going.ids.has(id) || (going.isAll && S.all));

function clear() {
  S.list.take ||= S.all;
  untick();
}

const WORDS = {
  retry: ['Retry', 'will run again.'],
  cancel: ['Cancel', 'will not run. Running commands are terminated.'],
  delete: ['Delete', 'and their output are deleted permanently. Running commands are terminated. You can undo this for 8 seconds.'],
  edit: ['Change', ''],
};
const shares = (counts) => Object.entries(counts).map(([state, n]) => `${number(n)} ${STATES[state][0].toLowerCase()}`).join(', ');

/* Does it to a target, after a question where much could be lost, or where what has succeeded would run again. */
export function doAll(target, note) {
  const { action, matched: count, by_state: states, left_out: others, which } = target;
  const rest = Object.keys(others).length > 0 && `Not included: ${shares(others)}.`;
  if (!count) return toast(rest ? `Nothing to ${WORDS[action][0].toLowerCase()}. ${rest}` : 'No job matches any more');
  if (action === 'edit') return askPriority(target);
  if (action === 'retry' && count <= FEW && which.ids && !states.completed) {
    clear();
    return S.busy.has('bulk') ? bulk(target) : act('bulk', () => bulk(target)); // the bar of selected jobs is busy with this
  }
  const [word, means] = WORDS[action], jobs = many(count, 'job');
  const isGrave = count > FEW && (action !== 'retry' || states.completed > 0);
  let again;
  return form({
    title: `${word} ${jobs}?`, submit: `${word} ${jobs}`, isDanger: action !== 'retry',
    intro: [
      note && h('p.bad', note), h('p', `${jobs}${which.filter ? ` that match ${spell(which.filter)}` : ''} ${means}`),
      action === 'retry' && states.completed > 0 && h('p.bad', `Of these, ${many(states.completed, 'job')} completed already.`),
      h('p.soft', `${shares(states)}. ${rest || ''}`), target.syncing && h('p.soft', `Some jobs may be missing: ${target.syncing}`),
    ],
    fields: isGrave ? [{ name: 'count', label: `Type ${count} to confirm`, required: true, inputmode: 'numeric' }] : [],
    onsubmit: async (values) => {
      if (isGrave && values.count.replace(/\D/g, '') !== String(count)) throw wrong('count', 'The number does not match', `type ${count}`);
      try {
        if (action === 'delete') remove(target);
        else await bulk(target);
      } catch (error) {
        if (error.status !== GONE) throw error;
        again = await select(action, which); // to be confirmed with its own number
      }
      if (!again && !(action === 'delete' && S.all)) clear();
    },
    onclose: () => again && doAll(again, 'The server no longer has this selection. It counted the jobs again.'),
  });
}

const askPriority = (target) => form({
  title: `Priority of ${many(target.matched, 'job')}`, submit: 'Set priority',
  fields: [{ name: 'priority', label: 'Priority', type: 'number', required: true, value: '0', hint: '-1000 to 1000; higher runs first' }],
  onsubmit: async ({ priority }) => {
    await bulk(target, { set: { priority: +priority } });
    clear();
  },
});

/* What a form refuses itself, as the server would. */
export const wrong = (field, words, detail) => new Trouble({ detail: words, errors: [{ pointer: `/${field}`, detail }] }, 422);

const spell = (filter) => Object.entries(filter)
  .map(([name, value]) => `${FILTERS[name].toLowerCase()} ${name === 'error' ? errorBy(value) : value}`).join(', ') || 'now';
