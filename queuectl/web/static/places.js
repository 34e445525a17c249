/* Where somebody was in each entry of the browser's history: scroll position, focus, selected jobs, the pages before. They are
   there again after Back, and after a reload. */
import { S } from './state.js';
import { $ } from './dom.js';

const NAME = 'queuectl.places', MOST = 50;
const places = read(); // by the key of the entry; the list of jobs too, as long as this page lives

function read() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(NAME)));
  } catch {
    return new Map();
  }
}

const newKey = () => `${Date.now().toString(36)}${Math.random().toString(36).slice(2)}`;

/* What finds an element again: its id, or its row and what it is there. */
function trace(node) {
  if (!node || node === document.body || node.id === 'view') return null;
  if (node.id) return `#${CSS.escape(node.id)}`;
  const row = node.closest('tr[data-id]'), kind = `${node.localName}${node.className ? `.${node.className.split(' ').join('.')}` : ''}`;
  return row && `tr[data-id="${CSS.escape(row.dataset.id)}"] ${kind}`;
}

function note() {
  if (!S.key) return;
  const { pages, all, around, list } = S;
  places.delete(S.key);
  places.set(S.key, { y: scrollY, focus: trace(document.activeElement), ticked: [...S.ticked], all, pages, around, list });
  for (const key of [...places.keys()].slice(0, -MOST)) places.delete(key);
}

/* Keeps all that is known for this page's next life. */
export function keepPlaces() {
  note();
  try {
    sessionStorage.setItem(NAME, JSON.stringify([...places].map(([key, { list, ...place }]) => [key, place])));
  } catch {
    return; // the browser keeps nothing
  }
}

/* Returns the place of the entry that is shown now; null when it is the same as before. */
export function turn() {
  const { key } = history.state || {};
  if (key && key === S.key) return null;
  note();
  S.key = key || newKey();
  if (!key) history.replaceState({ key: S.key }, '');
  return places.get(S.key) || {};
}

/* Makes the next entry of the history, with what is known of it before. */
export function open(hash, place) {
  const key = newKey();
  places.set(key, place);
  history.pushState({ key }, '', hash);
}

/* Goes back to a place, as soon as what was there is there again. */
export function settle() {
  const { back } = S, node = back?.focus && document.querySelector(back.focus);
  if (!back) return;
  S.back = null;
  scrollTo(0, back.y || 0);
  const isFree = !document.activeElement || document.activeElement === document.body || document.activeElement === $('view');
  if (node && isFree) node.focus({ preventScroll: true });
}
