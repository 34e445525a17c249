/* Small things that all views are made of, and the notes at the lower edge. */
import { at, inert, plainText, STATES } from './escape.js';
import { ago, jobsOf, now, render, S } from './state.js';
import { $, h } from './dom.js';

export const NOTE_MS = 6000;
const NOTES = 4;

export const icon = (name) => h('svg.icon', { 'aria-hidden': 'true' }, h('use', { href: `#i-${name}` }));
export const button = (words, onclick, props) => h('button', { type: 'button', onclick, ...props }, words);
export const small = (words, onclick, label) => button(words, onclick, { class: 'tiny', 'aria-label': label });
export const plain = (name, onclick, label) => button(icon(name), onclick, { class: 'tiny plain', 'aria-label': label, title: label });
export const link = (hash, words, props) => h('a', { href: hash, ...props }, words);
export const toJob = (id) => link(`#/jobs/${id}`, id, { class: 'id' });
/* What a job is called: its name, else the first words of its command. */
const WORDS = /^\s*(?:\S+\s*){1,3}/;
const nameOf = ({ name, command: line }) => name || (WORDS.exec(line)?.[0] || line).trim();
export const titleOf = (job) => link(`#/jobs/${job.id}`, nameOf(job), { class: 'title', title: nameOf(job) });
export const idOf = (id) => h('span.row.tight-row', h('span.id.soft', id), copier(id, `Copy the id ${id}`));
export const tags = (words) => words.map((tag) => [link(jobsOf({ tag }), tag, { class: 'tag' }), ' ']);
export const soft = (...words) => h('p.soft.small', ...words);
export const command = (text, props) => h('span.cmd', { title: text, ...props }, text);
export const copier = (text, label) => plain('copy', () => copy(text), label);
export const type = (text) => h('span.type', h('code', text), copier(text, 'Copy the command'));
export const empty = (name, title, ...more) => h('div.card.empty', icon(name), h('h2', title), ...more);
export const when = (iso) => iso && h('time', { datetime: iso, title: `${new Date(at(iso)).toString()}\n${iso}` }, ago(iso));
export const badge = (kind, name, word, title) => h(`span.state.pill.s-${kind}`, { title }, icon(name), word);
export const banner = (key, level, words, ...more) =>
  h(`div.banner.${level}`, { key }, icon({ info: 'info', ok: 'completed' }[level] || 'warn'), h('span.grow', words), more);

export function pill(state) {
  const [word, means] = STATES[state] || [state, ''];
  return badge(state, state, word, `${state}: ${means}`);
}

export const meter = (share, kind) => h('span.meter', { class: kind }, h('span', { style: { width: `${Math.min(100, share * 100)}%` } }));
export const stateOf = (job) => (job.state === 'pending' && !job.attempts && at(job.run_at) > now() ? 'scheduled' : job.state);

/* Rows are [key, cells]; what is not a cell yet is put into one. On a narrow screen a row is a card whose cells have labels. */
const toCell = (kid) => (kid && /^t[dh]$/.test(kid.tag) ? kid : h('td', kid));
export const cell = (label, ...kids) => h('td.tight', { 'data-label': label }, kids);
export const table = (heads, rows, caption) =>
  h('table', caption && h('caption.unseen', caption),
    heads.length > 0 && h('thead', h('tr', heads.map((head) => (head.tag === 'th' ? head : h('th', { scope: 'col' }, head))))),
    h('tbody', rows.map(([key, cells, props]) => h('tr', { key, ...props }, cells.map(toCell)))));

/* Pairs of a word and what it is; those without are left out. */
export const facts = (pairs) => h('dl', pairs.map(([word, value]) => (value || value === 0 ? [h('dt', word), h('dd', value)] : [])));

/* An identifier of the API in words: retries_exhausted, timed_out. */
export const spelled = (word) => word && word.replaceAll('_', ' ');
export const errorOf = ({ last_error: error, dead_reason: reason, exit_code: code, outcome }) =>
  (error && plainText(error)) || spelled(reason) || (code != null ? `exit code ${code}` : spelled(outcome) || 'no error was noted');

const ERROR_CHARS = 80;
const errors = new Map();

/* The error that a filter means by its fingerprint: its last line, or the fingerprint while no job with it was loaded. */
export function errorBy(fingerprint) {
  const known = [S.groups?.groups, S.snap?.failures, [...S.list.rows.values()]].flatMap((some) => some || []);
  const found = known.find((each) => each.fingerprint === fingerprint);
  if (found) {
    const line = errorOf(found).trim().split('\n').pop().trim();
    errors.set(fingerprint, `“${line.length > ERROR_CHARS ? `${line.slice(0, ERROR_CHARS)}…` : line}”`);
  }
  return errors.get(fingerprint) || fingerprint;
}

export async function copy(text, more = '') {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement('textarea'); // no clipboard over http to a name that is not localhost
    area.value = text;
    (document.querySelector('dialog[open]') || document.body).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(`Copied${more}`);
}

/* Has words read out to those who do not see the page. */
export function say(words) {
  $('say').textContent = '';
  setTimeout(() => { $('say').textContent = inert(words); }, 50);
}

let serial = 0;

export function toast(text, more = {}) {
  const made = { key: `t${++serial}`, text, until: more.kind === 'error' ? Infinity : now() + NOTE_MS, ...more };
  S.toasts.push(made);
  S.toasts = S.toasts.slice(-NOTES);
  say(text);
  render();
  return made;
}

function drop(gone) {
  S.toasts = S.toasts.filter((each) => each !== gone);
  render();
}

export const notes = () => S.toasts.map((note) => h('div.toast', { key: note.key, class: note.kind }, h('span.grow', note.text),
  note.hash && link(note.hash, 'Open', { class: 'button tiny' }),
  button(icon('close'), () => drop(note), { class: 'tiny', 'aria-label': 'Close' })));
