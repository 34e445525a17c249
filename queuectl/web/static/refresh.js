/* What is to be seen follows the address and the server: routing, refreshing, loading what a view needs. */
import { VIEWS } from './escape.js';
import { address, filterOf, now, PAGE, pageOf, render, S, untick } from './state.js';
import { $ } from './dom.js';
import { say } from './components.js';
import { api, get, lookUp, Trouble } from './server.js';
import { settle, turn } from './places.js';
import { enter, signIn } from './session.js';
import { follow, isWorking } from './tasks.js';

const OVER = ['completed', 'dead', 'gone'];
const MOST = 500; // jobs of one request
let timer, isRunning = false, isAgain = false;

export const isRefreshing = () => isRunning; // tests wait for it

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function route() {
  const [path, query] = location.hash.slice(1).split('?');
  if (/^(code|token)=/.test(path)) return void enter(`#${path}`).catch(fault);
  const [root, name = 'overview', id, ...rest] = path.split('/');
  const isPage = root === '' && Object.hasOwn(VIEWS, name) && (!id || name === 'jobs') && !rest.length;
  const view = {
    name: isPage ? name : 'missing',
    id: isPage && id ? decode(id) : null,
    params: Object.fromEntries(new URLSearchParams(query)),
  };
  const isOther = view.name !== S.view.name || view.id !== S.view.id;
  const isChanged = JSON.stringify(view.params) !== JSON.stringify(S.view.params);
  const place = turn(), isBack = place?.y !== undefined;
  if (isOther && view.id && S.view.name === 'jobs' && !S.view.id) S.around = { hash: address(S.view.params), ids: [...S.list.order] };
  if (place || isChanged) untick();
  if (place) Object.assign(S, { pages: place.pages || [], back: isBack ? place : null });
  if (isBack) Object.assign(S, { ticked: new Set(place.ticked), all: place.all, around: place.around || S.around });
  const isPaged = !isOther && !isBack && view.params.cursor !== S.view.params.cursor;
  S.view = view;
  if (place?.list) S.list = place.list;
  else if (isOther) S.list = { order: [], rows: new Map() };
  if (isOther) {
    Object.assign(S, { missing: null, job: null });
    render();
    scrollTo(0, 0);
    $('view').focus({ preventScroll: true });
  }
  if (isPaged) scrollTo(0, 0);
  if (place?.list?.order.length) {
    render();
    settle();
  }
  if (S.session) refresh();
  else render();
}

export async function start() {
  try {
    S.session = await get('api/v1/session', 'session');
  } catch (error) {
    return fault(error);
  }
  route();
}

function fault(error) {
  const why = error.status === 401
    ? S.session ? 'The token has changed since you signed in.' : 'This page can run commands as its owner, so it asks who you are.'
    : error.status === 429 && !S.session ? `${error.message}: wait a moment. ${error.hint || ''}` : null;
  if (why) return void signIn(why).catch(() => {});
  S.lost ||= now();
  S.lostWhy = error instanceof Trouble ? `The server reports an error: ${error.message}` : 'Connection lost: the server does not answer';
  S.wait = Math.min(30, (S.wait || 1.5) * 2);
  plan(S.wait * (0.85 + Math.random() * 0.3));
  render();
}

function plan(s) {
  pause();
  S.due = now() + s * 1000;
  timer = setTimeout(S.session ? refresh : start, s * 1000);
}

export const pause = () => clearTimeout(timer);

export async function refresh() {
  pause();
  if (document.hidden) return;
  isAgain = isRunning;
  if (isRunning) return;
  isRunning = true;
  try {
    S.snap = await get('api/v1/snapshot', 'snapshot');
    follow(S.snap.tasks);
    await load(S.view);
    if (S.lost) say('Connected again');
    Object.assign(S, { lost: null, wait: 0 });
    if (isWorking()) plan(1);
    else if (S.every !== 'off') plan(+S.every);
    render();
    settle();
  } catch (error) {
    fault(error);
  } finally {
    isRunning = false;
    if (isAgain) refresh();
  }
}

async function load(view) {
  if (view.id) return loadJob(view);
  if (view.name === 'config') S.config = await get('api/v1/config', 'config');
  if (!S.snap.index.available) return;
  if (view.name === 'overview') await unlessKnown('stats', `api/v1/stats?window=${S.window}`, Math.floor(now() / 60000));
  if (view.name === 'jobs') await loadList(view);
  if (view.name !== 'dead') return;
  await unlessKnown('groups', 'api/v1/dead/groups');
  for (const { ids, states } of S.trials) {
    const left = ids.filter((id) => !OVER.includes(states[id])), found = await lookUp(left);
    for (const id of left) states[id] = found.get(id)?.state || 'gone';
  }
}

/* Loads what depends on nothing but the jobs, the path and the minute. */
const known = {};
async function unlessKnown(name, path, minute) {
  const key = `${S.snap.changes} ${path} ${minute}`;
  if (known[name] === key) return;
  S[name] = await get(path, name);
  known[name] = key;
}

/* How many jobs failed with an error. */
async function loadAlike(error) {
  if (!S.snap.index.available) return;
  const { total } = await get(`api/v1/jobs?state=failed,dead&error=${error}&limit=1`, 'alike');
  S.alike = { error, total };
}

async function loadJob(view) {
  if (S.missing === view.id) return;
  try {
    const job = await get(`api/v1/jobs/${encodeURIComponent(view.id)}`, 'job');
    if (S.view.id === view.id) S.job = job;
    if (job.fingerprint) await loadAlike(job.fingerprint);
  } catch (error) {
    if (error.status !== 404 && error.status !== 422) throw error;
    Object.assign(S, { missing: view.id, missingWhy: error, job: null });
  }
}

const pathOf = (params, more) => {
  const query = { ...filterOf(params), sort: params.sort, cursor: params.cursor, limit: params.limit, ...more };
  return `api/v1/jobs?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}`;
};

/* Counts off the jobs before a page; returns its cursor, or null when there is no such page. */
export async function cursorOf(params, page) {
  let cursor = '', left = (page - 1) * (+params.limit || PAGE);
  for (; left > 0 && cursor !== null; left -= MOST) {
    ({ cursor } = await (await api('GET', pathOf(params, { cursor, limit: Math.min(left, MOST) }))).json());
  }
  return cursor;
}

async function loadList(view) {
  const { params } = view, old = S.list;
  if (pageOf(params) > 1 && !params.cursor) {
    const cursor = await cursorOf(params, pageOf(params)).catch((error) => (error.status === 400 ? '' : Promise.reject(error)));
    if (view !== S.view) return;
    if (cursor === null) return void (S.list = { path: 'none', view, order: [], rows: new Map(), total: 0, isExact: true, cursor: null });
    if (cursor) {
      params.cursor = cursor;
      history.replaceState(history.state, '', address(params));
    }
  }
  const path = pathOf(params);
  if (old.path === path && old.changes === S.snap.changes && !old.take && !old.error) return void (old.view = view);
  let page;
  try {
    page = await get(path, 'list');
  } catch (error) {
    if (error.status !== 400) throw error;
    if (view === S.view) S.list = { path, view, order: [], rows: new Map(), error };
    return;
  }
  const seen = new Map(page.jobs.map((job) => [job.id, job]));
  const away = old.path === path && !old.take ? old.order.filter((id) => !seen.has(id)) : [], found = await lookUp(away);
  if (view !== S.view) return; // another one is looked at meanwhile
  const isKept = old.path === path && !old.take && old.order.some((id) => seen.has(id) || found.has(id));
  if (isKept) update(old, page.jobs, found, params);
  else S.list = { path, order: [...seen.keys()], rows: seen, at: now(), fresh: [], left: new Set() };
  for (const id of away) if (!found.has(id)) S.ticked.delete(id);
  Object.assign(S.list, { view, changes: S.snap.changes, total: page.total, isExact: page.total_is_exact, cursor: page.cursor });
}

/* Rows change where they are, those of deleted jobs go, and those that follow take the room at the end; others wait to be
   asked for. `found` has the jobs that exist, but are on this page no longer. */
function update(list, jobs, found, params) {
  const known = new Map([...jobs.map((job) => [job.id, job]), ...found]), order = list.order.filter((id) => known.has(id));
  const last = jobs.findLastIndex((job) => list.rows.has(job.id)), room = Math.max(0, (+params.limit || PAGE) - order.length);
  list.order = [...order, ...(last < 0 ? [] : jobs.slice(last + 1, last + 1 + room).map((job) => job.id))];
  list.rows = new Map(list.order.map((id) => [id, known.get(id)]));
  list.fresh = jobs.filter((job) => !list.rows.has(job.id));
  const { state, ...others } = filterOf(params), states = state?.split(',');
  const isOut = (job) => (states && !states.includes(job.state)) || (!list.fresh.length && (state || Object.keys(others).length > 0));
  list.left = new Set([...found.values()].filter(isOut).map((job) => job.id));
}
