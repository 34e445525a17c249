/* Doing something to jobs and workers, to one or to many, with what is said about it. */
import { ENDED, FILTERS, many, number, STATES } from './escape.js';
import { ago, filterOf, S, untick } from './state.js';
import { h } from './dom.js';
import { errorBy, toast } from './components.js';
import { jobOrNull, wrong } from './server.js';
import { form } from './dialog.js';
import { act, post, write } from './session.js';
import { begin, DONE, remove, UNDO_S } from './tasks.js';

const FEW = 100; // so many are done without a question, or without typing their number
const GONE = 410; // the server does not know the selection any more
const WAITING = ['pending', 'held', 'failed'];
const NOT_COMPLETED = [...WAITING, 'cancelled', 'dead'];

export const startWorkers = (count) => post('workers', 'workers', (made) => `Started ${made.workers.join(', ')}`, { count });

// --- one job

const was = (removed) => (removed?.length ? `; its expiry, ${ago(removed[0].expires_at)}, was removed` : '');
const hasEnded = (id, state) => `${id} has ended already: it is ${state}`;
const said = (id, words) => ({ unchanged, expiry_removed: removed }) =>
  (unchanged.length ? hasEnded(id, unchanged[0].state) : `${id} is ${words}${was(removed)}`);
const send = (id, name, words, body) => act(`${name} ${id}`, async () => toast(said(id, words)(await ask(id, name, body))));
const ask = (id, name, body) => write('POST', `api/v1/jobs/${id}/${name}`, body);

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
    h('p.soft', `You can undo this for ${UNDO_S} seconds.`)],
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
  return { ...await write('POST', 'api/v1/bulk', { action, ...body, dry_run: true }), action, which };
}

export const chosen = (action) => select(action, S.all ? { filter: filterOf(S.view.params) } : { ids: [...S.ticked] });

/* Carries out a selection: few jobs at once, with a limit only the next ones. Many are a task of the server's: it goes on
   when this page is closed. */
export async function bulk({ action, selection, matched, which }, body = {}) {
  if (matched > FEW && !body.limit) return begin({ action, selection, which }, body);
  const made = await write('POST', 'api/v1/bulk', { action, selection, ...body });
  const { ids, unchanged, failed, expiry_removed: removed = [], left } = made;
  const notes = [
    removed.length && `removed the expiry of ${many(removed.length, 'job')}, which had passed`,
    unchanged.length && `skipped ${many(unchanged.length, 'job')} that had changed`,
    failed.length && `${number(failed.length)} failed: ${failed[0].id}: ${failed[0].detail}`,
  ].filter(Boolean);
  toast([`${many(ids.length, 'job')} ${DONE[action]}`, ...notes].join('; '), failed.length || unchanged.length ? { kind: 'error' } : {});
  if (left && !body.limit) await begin({ action, selection: made.selection, which }, body); // it takes long
  return { ids, left };
}

function clear() {
  S.list.take ||= S.all;
  untick();
}

const WORDS = {
  retry: ['Retry', 'will run again.'],
  cancel: ['Cancel', 'will not run. Running commands are terminated.'],
  delete: ['Delete', 'and their output are deleted permanently. Running commands are terminated. '
    + `You can undo this for ${UNDO_S} seconds. A job that starts meanwhile is left.`],
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
    return bulk(target);
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
        if (action === 'delete') await remove(target);
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

const spell = (filter) => Object.entries(filter)
  .map(([name, value]) => `${FILTERS[name].toLowerCase()} ${name === 'error' ? errorBy(value) : value}`).join(', ') || 'now';
