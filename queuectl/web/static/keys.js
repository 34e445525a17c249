/* Single keys, and the dialog that tells them. */
import { keep, readOnly, refresh, S } from './state.js';
import { $, dialogOpen, h } from './dom.js';
import { toast } from './components.js';
import { form } from './dialog.js';
import { undo } from './tasks.js';
import { one } from './actions.js';
import { edit, enqueue } from './enqueue.js';
import { neighbour } from './job.js';

const GO = { o: 'overview', j: 'jobs', d: 'dead', w: 'workers', c: 'config', h: 'health' }; // after g
const GO_MS = 3000;
const HELP = [
  ['/', 'search'], ['g o, g j, g d, g w, g c, g h', 'go to a view'], ['n', 'enqueue'], ['j k', 'next, previous job'], ['x', 'select the job'],
  ['r c e', 'retry, cancel, edit'], ['Del', 'delete'], ['u', 'undo'], ['p', 'stop or start refreshing'], ['?', 'this help'],
];
let lastG = 0;

/* Everywhere. */
const PAGE = {
  '/': () => ($('search') ? $('search').focus() : go('jobs')),
  '?': help,
  n: enqueue,
  u: undo,
  p: () => {
    keep('every', S.every = S.every === 'off' ? '3' : 'off');
    toast(S.every === 'off' ? 'Refreshing is off' : 'Refreshing is on');
    refresh();
  },
};

/* In a list of jobs. */
const ROW = {
  j: (row) => step(row, 1),
  k: (row) => step(row, -1),
  x: (row) => row?.querySelector('input').click(),
};

/* With a job: the one of the row, or of the view. */
const JOB = {
  r: (job) => one.retry(job.id, job.state),
  c: (job) => one.cancel(job.id, job.state),
  e: (job) => edit(job.id, ['dead', 'completed', 'cancelled'].includes(job.state)),
  Delete: (job) => one.delete(job.id),
};

const go = (view) => { location.hash = `#/${view}`; };

function step(row, by) {
  const other = S.view.id && neighbour(S.view.id, by);
  if (other) go(`jobs/${encodeURIComponent(other)}`);
  const links = [...document.querySelectorAll('tr[data-id] a.title')];
  links[(row ? links.indexOf(row.querySelector('a.title')) : -1) + by]?.focus();
}

export function onKey(event) {
  const { key, target } = event, isTyping = target.closest('input:not([type=checkbox]), textarea, select');
  if (!S.keys || event.ctrlKey || event.metaKey || event.altKey || isTyping || dialogOpen()) return;
  const row = target.closest('[data-id]'), job = row ? S.list.rows.get(row.dataset.id) : S.view.id && S.job;
  const isGoing = Date.now() - lastG < GO_MS;
  lastG = key === 'g' ? Date.now() : 0;
  const does = isGoing ? GO[key] && (() => go(GO[key]))
    : PAGE[key] || (ROW[key] && (() => ROW[key](row))) || (JOB[key] && job && !readOnly() && (() => JOB[key](job)));
  if (!does) return;
  event.preventDefault();
  does();
}

export function help() {
  const keys = (text) => text.split(', ').map((key, i) => [i > 0 && ', ', h('kbd', key)]);
  form({
    title: 'Keys', submit: 'Save',
    intro: h('dl', HELP.map(([key, what]) => [h('dt', keys(key)), h('dd', what)])),
    fields: [{ name: 'keys', label: 'Use single-key shortcuts', options: ['on', 'off'], value: S.keys ? 'on' : 'off' }],
    onsubmit: async ({ keys: value }) => {
      keep('keys', value);
      S.keys = value === 'on';
    },
  });
}
