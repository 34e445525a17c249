/* Bulk actions that the server carries out by itself: beginning and stopping them, how far they are, and what came of them. */
import { many, number } from './escape.js';
import { now, S } from './state.js';
import { dialogOpen, h } from './dom.js';
import { button, icon, meter, NOTE_MS, say, small, toast, toJob } from './components.js';
import { act, write } from './session.js';

export const UNDO_S = 8;
export const DONE = { retry: 'queued again', cancel: 'cancelled', delete: 'deleted', edit: 'changed', hold: 'held', release: 'released' };
const DOING = {
  retry: 'Retrying', cancel: 'Cancelling', delete: 'Deleting', edit: 'Changing', hold: 'Holding', release: 'Releasing',
};
const FEW = 100; // what came of so many need not be closed, if all is well
const MINE = new Map(); // those that were begun here, as they were seen last

export async function begin({ action, selection, which }, body) {
  const task = await write('POST', 'api/v1/bulk/tasks', { action, selection, ...body });
  MINE.set(task.id, { task, ids: new Set(which.ids), isAll: !which.ids });
  say(`${DOING[action]} ${many(task.total, 'job')}${task.state === 'waiting' ? `. Press u within ${UNDO_S} seconds to undo` : ''}`);
  return { ids: [], left: 0 };
}

/* Nothing is deleted before eight seconds are over: until then it can be undone. The server waits, whether or not the page
   is still open, and leaves a job that has started meanwhile. */
export function remove(target) {
  if (!target.matched) return toast(target.failed[0]?.detail || 'No job matches any more');
  return begin(target, { delay_s: UNDO_S });
}

const isOver = (task) => task.ended_at != null;
const stop = ({ id }) => act(`task ${id}`, () => write('POST', `api/v1/bulk/tasks/${id}/stop`));
const forget = ({ id }) => act(`task ${id}`, () => write('DELETE', `api/v1/bulk/tasks/${id}`));
export const isWorking = () => S.snap.tasks.some((task) => !isOver(task));
export const undo = () => S.snap.tasks.filter((task) => task.state === 'waiting').slice(-1).forEach(stop);

const lost = ({ action, total, done }) => toast('The server no longer has this bulk action: it was restarted, or its result was closed. '
  + `Of ${many(total, 'job')}, ${number(done)} or more were ${DONE[action]}. The others are as they were.`, { kind: 'error' });

/* After a refresh: what those that were begun here have come to. */
export function follow(tasks) {
  for (const [id, mine] of MINE) {
    const task = tasks.find((each) => each.id === id);
    if (task) Object.assign(mine, { task, isSeen: true });
    if (task ? !isOver(task) : !mine.isSeen) continue;
    MINE.delete(id);
    if (!task) {
      lost(mine.task);
      continue;
    }
    say(outcome(task));
    S.list.take ||= mine.isAll || (task.action === 'delete' && task.done > 0);
    if (task.action !== 'delete' || task.state !== 'completed' || task.failed || Object.keys(task.unchanged).length) continue;
    for (const each of mine.ids) S.ticked.delete(each);
    if (mine.ids.has(S.view.id) && !dialogOpen()) location.hash = '#/jobs';
  }
}

export const isGoing = (id) => [...MINE.values()].some(({ task, ids, isAll }) =>
  task.action === 'delete' && task.state !== 'stopping' && (ids.has(id) || (isAll && S.all)));

/* --- notes at the lower edge */

const skipped = ({ unchanged }) => Object.values(unchanged).reduce((sum, n) => sum + n, 0);

function outcome(task) {
  const { action, state, total, done, failed, left, expiry_removed: removed, problem } = task;
  if (state === 'stopped' && !done && !failed && !skipped(task)) return `Stopped: no job was ${DONE[action]}`;
  return [
    state === 'completed' ? `${many(done, 'job')} ${DONE[action]}` : `Stopped: ${number(done)} of ${many(total, 'job')} ${DONE[action]}`,
    problem, removed && `removed the expiry of ${many(removed, 'job')}, which had passed`,
    skipped(task) && `skipped ${many(skipped(task), 'job')} that had changed or started meanwhile`,
    failed && `${number(failed)} failed`, left && `${many(left, 'job')} left unchanged`,
  ].filter(Boolean).join('; ');
}

const isFlawless = (task) => !task.failed && !skipped(task) && !task.problem;
const isShown = (task) => !isOver(task) || !isFlawless(task) || (task.total > FEW && task.done > 0)
  || now() - Date.parse(task.ended_at) < NOTE_MS;

const problems = ({ errors }) => errors.length > 0 && h('details', h('summary', 'What failed'), h('ul', errors.map(({ count, detail, hint, ids }) =>
  h('li', `${number(count)} × ${detail}`, hint && ` (${hint})`, ': ', ids.map((id) => [toJob(id), ' ']), count > ids.length && '…'))));

function note(task) {
  const { id, action, state, total, done, left, begins_at: begins } = task, isBusy = S.busy.has(`task ${id}`) ? 'true' : null;
  const can = !S.session.read_only, jobs = many(total, 'job');
  if (isOver(task)) {
    return [h('div.grow', outcome(task), problems(task)),
      can && button(icon('close'), () => forget(task), { class: 'tiny', 'aria-label': 'Close', 'aria-disabled': isBusy })];
  }
  if (state === 'waiting') {
    const s = Math.max(0, Math.ceil((Date.parse(begins) - now()) / 1000));
    return [h('span.grow', `${jobs} will be ${DONE[action]} in ${s} s`), can && small('Undo', () => stop(task))];
  }
  const words = `${DOING[action]} ${jobs}: ${number(done)} done${task.failed ? `, ${number(task.failed)} failed` : ''}`;
  return [h('div.grow', state === 'stopping' ? 'Stopping …' : words, meter((total - left) / total)),
    can && state === 'running' && button('Stop', () => stop(task), { class: 'tiny', 'aria-disabled': isBusy })];
}

export const taskNotes = () => (S.snap && S.session ? S.snap.tasks.filter(isShown).map((task) =>
  h('div.toast', { key: `task ${task.id}`, class: isOver(task) && !isFlawless(task) ? 'error' : '' }, note(task))) : []);
