/* The one state (S), what is kept between visits, and addresses of views. */
import { at, FILTERS, span } from './escape.js';

export const PAGE = 50; // jobs of a list, as the server has it
const MOST_PAGES = 400; // that are counted off when an address has no cursor
const PREFIX = 'queuectl.';
const held = {}; // where the browser keeps nothing

/* Reads what this browser keeps under a name; with a value, keeps it. */
export function keep(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(PREFIX + name, value);
    return localStorage.getItem(PREFIX + name);
  } catch {
    if (value !== undefined) held[name] = value;
    return held[name] ?? null;
  }
}

export const S = {
  session: null, // who has signed in to what; null before
  snap: null, // the newest snapshot
  skew: null, // how far the server's clock is ahead, in ms
  view: { name: 'overview', id: null, params: {} }, // as the address says
  list: { order: [], rows: new Map() }, // the page of jobs; left: shown, but they match no longer
  pages: [], // the cursors that led to the pages before
  around: null, // the list from which a job was opened: its address, and the ids in order
  key: null, // of the entry of the browser's history
  back: null, // the place to go back to
  alike: null, // how many jobs have the error of the one that is shown
  ticked: new Set(), // ids of the selected jobs
  all: false, // all that match are selected
  busy: new Set(), // actions under way
  trials: [], // dead jobs that were retried
  toasts: [],
  tables: new Set(), // charts shown as tables
  slots: {}, // the last answers with their ETags
  lost: null, // since when the server does not answer
  wait: 0, // s until it is asked again
  every: keep('every') || '3',
  window: keep('window') || '1h',
  keys: keep('keys') !== 'off',
  compact: keep('compact'), // rows of one line
};

/* What lies above and is called from below: app.js says what it is. */
const above = {};
export const wire = (parts) => Object.assign(above, parts);
export const render = () => above.render();
export const refresh = () => above.refresh();
export const start = () => above.start();

export const now = () => Date.now() + (S.skew || 0);
export const since = (iso) => Math.max(0, Math.floor((now() - at(iso)) / 1000));
export const readOnly = () => !S.session || S.session.read_only;

export function ago(iso) {
  const s = Math.round((now() - at(iso)) / 1000);
  if (s < 0) return `in ${span(-s)}`;
  const [unit, word] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].find(([each]) => s >= each * (each > 3600 ? 2 : 1)) || [1, 's'];
  const words = `${Math.floor(s / unit)} ${word}`;
  return s < 2 ? 'just now' : `${words} ago`;
}

export const jobsOf = (params) => `#/jobs?${new URLSearchParams(params)}`;

export function address(params) {
  const { name, id } = S.view;
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value != null && value !== '')).toString();
  return `#/${name}${id ? `/${encodeURIComponent(id)}` : ''}${query ? `?${query}` : ''}`;
}

/* Changes the address of this entry of the history. */
function replace(hash) {
  history.replaceState(history.state, '', hash);
  above.route();
}

/* Makes a new entry of the history, with what is known of its place before. */
export function goTo(hash, place) {
  above.open(hash, place);
  above.route();
}

/* The page of a list that an address means. */
export const pageOf = (params) => Math.min(Math.max(1, Number.parseInt(params.page, 10) || 1), params.cursor ? Infinity : MOST_PAGES);

/* Looks at the same view with other filters, from its first page on. */
export function refine(changes, isTyping) {
  const hash = address({ ...S.view.params, cursor: null, page: null, ...changes });
  if (isTyping) replace(hash);
  else location.hash = hash;
}

export const filterOf = (params) => Object.fromEntries(Object.keys(FILTERS).flatMap((name) => (params[name] ? [[name, params[name]]] : [])));

export function tick(ids, isOn) {
  S.all = false;
  for (const id of ids) S.ticked[isOn ? 'add' : 'delete'](id);
  render();
}

export function untick() {
  S.ticked.clear();
  S.all = false;
}

/* What was typed into the form for a new job, for as long as this tab lives; with values, keeps them. */
export function keepDraft(values) {
  try {
    if (values) sessionStorage.setItem(`${PREFIX}draft`, JSON.stringify(values));
    return JSON.parse(sessionStorage.getItem(`${PREFIX}draft`)) || {};
  } catch {
    return {};
  }
}
