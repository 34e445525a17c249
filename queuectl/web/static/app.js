/* The page. One state (S), views that are functions of it, and a patch that changes only what differs, so that a refresh
   takes away no selection, tick, focus or scroll position. Text reaches the document through inert() alone. */
'use strict';

// --- words

const STATES = {
  pending: ['Pending', 'ready to run as soon as a worker is free'],
  scheduled: ['Scheduled', 'will not start before its time'],
  held: ['Held', 'waits until it is released'],
  failed: ['Failed', 'failed; it will be tried again'],
  processing: ['Processing', 'a worker is running it now'],
  completed: ['Completed', 'the last attempt exited with 0'],
  cancelled: ['Cancelled', 'stopped by a person'],
  dead: ['Dead', 'gave up; needs a person'],
};
const COUNTED = ['pending', 'held', 'failed', 'processing', 'completed', 'cancelled', 'dead'];
const VIEWS = { overview: 'Overview', jobs: 'Jobs', dead: 'Dead letters', workers: 'Workers', config: 'Config', health: 'Health' };
const FILTERS = { q: 'Text', state: 'State', queue: 'Queue', tag: 'Tag', batch: 'Batch', error: 'Error', since: 'Since', until: 'Until' };
const SORTS = { updated: 'Last changed', created: 'Newest', '-created': 'Oldest', priority: 'Priority', run_at: 'Start, latest', '-run_at': 'Start, earliest', id: 'Id' };
const MINE = 'queuectl.';

const number = (n) => n.toLocaleString('en');
const many = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;
const percent = (share) => `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;
const at = (iso) => Date.parse(iso);
const now = () => Date.now() + (S.skew || 0);

function span(s) {
  s = Math.max(0, s);
  if (s < 1 && s) return s < 0.0995 ? `${Math.max(1, Math.round(s * 1000))} ms` : `${s.toFixed(1)} s`;
  if (s < 9.95) return `${+s.toFixed(1)} s`;
  s = Math.round(s);
  const two = (a, u, b, v) => `${a} ${u}${b ? ` ${b} ${v}` : ''}`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor(s / 60) % 60, 'min');
  return two(Math.floor(s / 86400), 'd', Math.floor(s / 3600) % 24, 'h');
}

function ago(iso) {
  const s = Math.round((now() - at(iso)) / 1000), a = Math.abs(s);
  const words = a < 60 ? `${a} s` : a < 3600 ? `${Math.floor(a / 60)} min` : a < 172800 ? `${Math.floor(a / 3600)} h` : `${Math.floor(a / 86400)} d`;
  return s < 0 ? `in ${words}` : a < 2 ? 'just now' : `${words} ago`;
}

function size(n) {
  let unit = 0;
  for (; n >= 1000 && unit < 4; unit++) n /= 1024;
  return `${unit && n < 10 ? n.toFixed(1) : Math.round(n)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

/* What a terminal or a bidirectional layout would act upon is shown instead. */
const ACTIVE = /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const inert = (text) => text.replace(ACTIVE, (c) => {
  const code = c.codePointAt(0);
  return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? '\u2421' : `\u2039U+${code.toString(16).toUpperCase().padStart(4, '0')}\u203a`;
});

// --- the document

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
/* h('div.row#id', { … }, kids …): what is to be there; the properties may be left out. */
function h(what, ...kids) {
  const [tag, ...marks] = what.split(/(?=[.#])/), given = kids[0], isGiven = given && typeof given === 'object' && !given.tag && !Array.isArray(given);
  const props = isGiven ? { ...kids.shift() } : {};
  for (const mark of marks) if (mark[0] === '#') props.id = mark.slice(1); else props.class = `${props.class || ''} ${mark.slice(1)}`;
  return { tag, props, kids: kids.flat(Infinity).filter((kid) => kid != null && kid !== false && kid !== '') };
}

function setProp(node, name, value) {
  if (name === 'key') node.vkey = value;
  else if (name.startsWith('on')) node[name] = value || null;
  else if (name === 'checked' || name === 'indeterminate') node[name] = !!value;
  else if (name === 'style') for (const [key, what] of Object.entries(value || {})) node.style.setProperty(key, what);
  else if (name === 'value' || name === 'born' || name === 'own') return;
  else if (value == null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? '' : inert(String(value)));
}

function dress(node, { props, kids }) {
  const old = node.vprops || {};
  for (const name in old) if (!(name in props)) setProp(node, name);
  for (const name in props) if (props[name] !== old[name] || name === 'checked') setProp(node, name, props[name]);
  node.vprops = props;
  if (!props.own && !(node.localName === 'time' && isSelected(node))) patch(node, kids);
  if ('value' in props && props.value !== old.value) node.value = props.value;
}

const isSelected = (node) => { const s = getSelection(); return s.rangeCount && !s.isCollapsed && s.containsNode(node, true); };

/* Makes `kids` the children of `parent`: by key, else by place; what stays is not moved. */
function patch(parent, kids) {
  const wanted = new Set(kids.map((kid) => kid.props && kid.props.key));
  const keyed = new Map();
  for (const node of [...parent.childNodes]) {
    if (node.vkey == null) continue;
    if (wanted.has(node.vkey)) keyed.set(node.vkey, node); else node.remove();
  }
  let next = parent.firstChild;
  for (const kid of kids) {
    let node;
    if (typeof kid !== 'object') {
      const text = inert(String(kid));
      node = next && next.nodeType === 3 ? next : document.createTextNode(text);
      if (node.data !== text) node.data = text;
    } else {
      const key = kid.props.key;
      if (key != null) node = keyed.get(key);
      else if (next && next.vkey == null && next.localName === kid.tag) node = next;
      const isNew = !node;
      if (isNew) node = document.createElementNS(kid.tag === 'svg' ? SVG : parent.namespaceURI, kid.tag);
      dress(node, kid);
      if (isNew && kid.props.born) kid.props.born(node);
    }
    if (node === next) next = next.nextSibling; else parent.insertBefore(node, next);
  }
  while (next) { const gone = next; next = next.nextSibling; gone.remove(); }
}

const icon = (name) => h('svg.icon', { 'aria-hidden': 'true' }, h('use', { href: `#i-${name}` }));
const when = (iso) => iso && h('time', { datetime: iso, title: `${new Date(at(iso)).toString()}\n${iso}` }, ago(iso));
const button = (words, onclick, props) => h('button', { type: 'button', onclick, ...props }, words);
const link = (hash, words, props) => h('a', { href: hash, ...props }, words);
const toJob = (id, props) => link(`#/jobs/${id}`, id, { class: 'id', ...props });
const type = (command) => h('span.type', h('code', command), copier(command, 'Copy the command'));
const copier = (text, label) => button(icon('copy'), () => copy(text), { class: 'tiny plain', 'aria-label': label, title: label });
const soft = (...words) => h('p.soft.small', ...words);

function pill(state, plain) {
  const [word, means] = STATES[state] || [state, ''];
  return h('span', { class: `state s-${state}${plain ? '' : ' pill'}`, title: `${state}: ${means}` }, icon(state), word);
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = document.createElement('textarea'); // no clipboard over http to a name that is not localhost
    area.value = text;
    (document.querySelector('dialog[open]') || document.body).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast('Copied');
}

const say = (words) => { $('say').textContent = ''; setTimeout(() => { $('say').textContent = inert(words); }, 50); };

// --- state

const S = {
  session: null, snap: null, skew: null, lost: null, wait: 0, busy: new Set(), ticked: new Set(), all: false, toasts: [], going: [], trials: [],
  view: { name: 'overview', id: null, params: {} }, list: { order: [], rows: new Map() }, slots: {}, pages: [],
  every: keep('every') || '3', window: keep('window') || '1h', keys: keep('keys') !== 'off', tables: new Set(),
};

function keep(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(MINE + name, value);
    return localStorage.getItem(MINE + name);
  } catch { return (keep.held ||= {})[name] = value ?? keep.held?.[name]; }
}

const readOnly = () => !S.session || S.session.read_only;

function route() {
  const [path, query] = location.hash.slice(1).split('?');
  if (path.startsWith('token=')) { enter(path.slice(6)).catch(fault); return; }
  const [, name, id] = path.split('/');
  const view = { name: Object.hasOwn(VIEWS, name || '') ? name : 'overview', id: name === 'jobs' && id ? decode(id) : null, params: Object.fromEntries(new URLSearchParams(query)) };
  const isOther = view.name !== S.view.name || view.id !== S.view.id;
  if (isOther || JSON.stringify(view.params) !== JSON.stringify(S.view.params)) { S.ticked.clear(); S.all = false; }
  if (isOther) { S.missing = null; S.job = null; S.list = { order: [], rows: new Map() }; S.pages = []; }
  S.view = view;
  if (isOther) { render(); scrollTo(0, 0); $('view').focus({ preventScroll: true }); }
  if (S.session) tick(); else render();
}

const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

function address(params) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value != null && value !== '')).toString();
  return `#/${S.view.name}${S.view.id ? `/${encodeURIComponent(S.view.id)}` : ''}${query ? `?${query}` : ''}`;
}

function refine(changes, isTyping) {
  const hash = address({ ...S.view.params, cursor: null, page: null, ...changes });
  if (isTyping) { history.replaceState(null, '', hash); route(); } else location.hash = hash;
}

// --- the server

class Trouble extends Error {
  constructor(problem, status) { super(problem.detail || `The server answered ${status}`); Object.assign(this, problem, { status }); }
}

async function api(method, path, body, more = {}) {
  const headers = { ...more.headers };
  if (method !== 'GET') { headers['X-QueueCTL-Token'] = keep('write') || ''; headers['Content-Type'] = 'application/json'; }
  const answer = await fetch(path, { method, headers, body: method === 'GET' ? undefined : JSON.stringify(body || {}), keepalive: more.keepalive, signal: more.signal });
  const date = at(answer.headers.get('date')) - Date.now(); // cut to the second: the largest seen is the nearest
  if (date === date && (S.skew == null || date > S.skew || date < S.skew - 3000)) S.skew = date;
  if (answer.ok || answer.status === 304) return answer;
  throw new Trouble(await answer.json().catch(() => ({})), answer.status);
}

async function get(path, slot) {
  const old = S.slots[slot] && S.slots[slot].path === path ? S.slots[slot] : null;
  const answer = await api('GET', path, null, { headers: old && old.etag ? { 'If-None-Match': old.etag } : {} });
  if (answer.status === 304) return old.body;
  const body = await answer.json();
  S.slots[slot] = { path, etag: answer.headers.get('etag'), body };
  return body;
}

async function write(method, path, body, more) {
  if (!keep('write') && S.session.auth === 'token') await signIn('To change something, this browser needs the token once more.');
  try { return await (await api(method, path, body, more)).json(); } catch (error) {
    if (error.status !== 401 && error.title !== 'no write token') throw error;
    await signIn('To change something, this browser needs the token once more.');
    return (await api(method, path, body, more)).json();
  }
}

async function enter(token) {
  history.replaceState(null, '', '#/overview');
  const made = await (await api('POST', '/api/v1/session', { token })).json();
  keep('write', made.write_token);
  await start();
}

function signIn(why) {
  return signIn.asking ||= new Promise((done, fail) => form({
    title: 'Sign in', isFirm: true, submit: 'Sign in',
    intro: [h('p', why), h('p.soft', 'To see the token, type ', type('queuectl web token'))],
    fields: [{ name: 'token', label: 'Token, or the address that was printed', type: 'password', required: true, whole: true, autocomplete: 'current-password' }],
    onsubmit: async ({ token }) => {
      const made = await (await api('POST', '/api/v1/session', { token: token.split('#token=').pop().trim() })).json();
      keep('write', made.write_token);
      S.session = await get('/api/v1/session', 'session');
      done();
      tick();
    },
    onclose: (isDone) => { signIn.asking = null; if (!isDone) { fail(new Trouble({ detail: 'You are not signed in' })); if (S.session) tick(); else start(); } },
  }));
}

async function start() {
  try { S.session = await get('/api/v1/session', 'session'); } catch (error) { return fault(error); }
  route();
}

function fault(error) {
  if (error.status === 401) { signIn(S.session ? 'The token has changed since you signed in.' : 'This page can run commands as its owner, so it asks who you are.').catch(() => {}); return; }
  if (error.status === 429 && !S.session) return signIn(`${error.message}: wait a moment. ${error.hint || ''}`).catch(() => {});
  S.lost ||= now();
  S.lostWhy = error instanceof Trouble ? error.message : 'the server does not answer';
  S.wait = Math.min(30, (S.wait || 1.5) * 2);
  plan(S.wait * (0.85 + Math.random() * 0.3));
  render();
}

function plan(s) {
  clearTimeout(S.timer);
  S.due = now() + s * 1000;
  S.timer = setTimeout(S.session ? tick : start, s * 1000);
}

async function tick() {
  clearTimeout(S.timer);
  if (document.hidden) return;
  if (S.running) { S.again = true; return; }
  S.running = true;
  try {
    S.snap = await get('/api/v1/snapshot', 'snapshot');
    const { view } = S;
    await load(view);
    if (S.lost) say('Connected again');
    S.lost = null;
    S.wait = 0;
    if (S.every !== 'off') plan(+S.every);
    render();
  } catch (error) { fault(error); } finally {
    S.running = false;
    if (S.again) { S.again = false; tick(); }
  }
}

async function load(view) {
  const { changes } = S.snap;
  if (view.name === 'overview' && S.snap.index.available) {
    const key = `${changes} ${S.window} ${Math.floor(now() / 60000)}`;
    if (S.statsKey !== key) { S.stats = await get(`/api/v1/stats?window=${S.window}`, 'stats'); S.statsKey = key; }
  } else if (view.id) await loadJob(view);
  else if (view.name === 'jobs' && S.snap.index.available) await loadList(view);
  else if (view.name === 'dead' && S.snap.index.available) {
    if (S.groupsKey !== changes) { S.groups = await get('/api/v1/dead/groups', 'groups'); S.groupsKey = changes; }
    for (const trial of S.trials) for (const id of trial.ids.slice(0, 10)) {
      if (!['completed', 'dead', 'gone'].includes(trial.states[id])) trial.states[id] = (await jobOrNull(id) || { state: 'gone' }).state;
    }
  } else if (view.name === 'config') S.config = await get('/api/v1/config', 'config');
}

const jobOrNull = (id) => api('GET', `/api/v1/jobs/${id}`).then((answer) => answer.json(), (error) => { if (error.status === 404) return null; throw error; });

async function loadJob(view) {
  if (S.missing === view.id) return;
  try {
    const job = await get(`/api/v1/jobs/${encodeURIComponent(view.id)}`, 'job');
    if (S.view.id === view.id) S.job = job;
  } catch (error) {
    if (error.status !== 404 && error.status !== 422) throw error;
    S.missing = view.id;
    S.missingWhy = error;
    S.job = null;
  }
}

const filterOf = (params) => Object.fromEntries(Object.keys(FILTERS).filter((name) => params[name]).map((name) => [name, params[name]]));

async function loadList({ params }) {
  const query = { ...filterOf(params), sort: params.sort, cursor: params.cursor, limit: params.limit };
  const path = `/api/v1/jobs?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}`;
  const old = S.list;
  if (old.path === path && old.changes === S.snap.changes && !old.take && !old.error) return;
  let page;
  try { page = await get(path, 'list'); } catch (error) {
    if (error.status !== 400) throw error;
    S.list = { path, order: [], rows: new Map(), error };
    return;
  }
  const seen = new Map(page.jobs.map((job) => [job.id, job]));
  if (old.path !== path || old.take || !old.order.length) {
    S.list = { path, order: [...seen.keys()], rows: seen, at: now(), fresh: [] };
  } else { // rows change where they are; new ones wait to be asked for
    old.fresh = page.jobs.filter((job) => !old.rows.has(job.id));
    for (const [id, job] of seen) if (old.rows.has(id)) old.rows.set(id, job);
    const away = old.order.filter((id) => !seen.has(id) && old.rows.get(id).state !== 'removed');
    for (const id of away.slice(0, 10)) {
      const job = await jobOrNull(id), row = old.rows.get(id);
      if (job) for (const name in row) if (name in job) row[name] = job[name];
      old.rows.set(id, job ? { ...row } : { ...row, state: 'removed' });
    }
  }
  Object.assign(S.list, { changes: S.snap.changes, total: page.total, isExact: page.total_is_exact, cursor: page.cursor });
}

// --- doing something

async function act(key, does) {
  if (S.busy.has(key)) return;
  S.busy.add(key);
  render();
  try { await does(); } catch (error) { tell(error); } finally { S.busy.delete(key); tick(); }
}

const tell = (error) => toast(error instanceof Trouble ? `${error.message}${error.hint ? ` (${error.hint})` : ''}` : 'The server does not answer; nothing was changed', { kind: 'error' });

function toast(text, more = {}) {
  const made = { key: `t${S.toasts.serial = (S.toasts.serial || 0) + 1}`, text, until: more.kind === 'error' ? Infinity : now() + 6000, ...more };
  S.toasts.push(made);
  if (S.toasts.length > 4) S.toasts.splice(S.toasts.findIndex((each) => !each.undo), 1);
  say(text);
  render();
  return made;
}

function outcome(action, done, failed, left) {
  const past = { retry: 'queued again', cancel: 'cancelled', delete: 'deleted', hold: 'held', release: 'released', edit: 'changed' }[action];
  const whole = done + failed.length + (left || 0);
  if (failed.length || left) toast(`${number(done)} of ${many(whole, 'job')} ${past}. ${failed.length ? `${failed[0].id}: ${failed[0].detail}` : `${number(left)} left`}`, { kind: 'error' });
  else toast(`${many(done, 'job')} ${past}`);
}

/* A filter is frozen at the moment of the click: what matches can only become fewer. */
async function bulk(action, target, more = {}) {
  let done = 0, left = 0;
  const failed = [], ids = [];
  if (target.ids) {
    for (let i = 0; i < target.ids.length; i += 1000) {
      const made = await write('POST', '/api/v1/bulk', { action, ids: target.ids.slice(i, i + 1000), ...more.body }, more.how);
      done += made.ids.length;
      ids.push(...made.ids);
      failed.push(...made.failed);
    }
  } else {
    for (let expected = target.matched; expected;) {
      try {
        const made = await write('POST', '/api/v1/bulk', { action, filter: target.filter, expected, ...more.body }, more.how);
        done += made.ids.length;
        ids.push(...made.ids);
        failed.push(...made.failed);
        left = made.left;
        if (more.body && more.body.limit || !left || made.failed.length || !made.ids.length) break;
        expected = left;
      } catch (error) {
        if (error.status !== 409 || error.matched == null) throw error;
        expected = left = error.matched;
      }
    }
  }
  outcome(action, done, failed, more.body && more.body.limit ? 0 : left);
  return { ids, failed, left };
}

async function freeze(filter, last) {
  const newest = Math.max(0, last ? at(last) + 1 : 0, ...[...S.list.rows.values()].map((row) => at(row.updated_at) + 1));
  const frozen = { ...filter, until: filter.until || new Date(Math.max(now(), newest)).toISOString() };
  const made = await write('POST', '/api/v1/bulk', { action: 'retry', filter: frozen, dry_run: true });
  return { filter: frozen, matched: made.matched };
}

/* Nothing is deleted before eight seconds are over: until then it can be undone. */
function remove(target, count) {
  const going = { ids: new Set(target.ids || []), target, filter: target.filter };
  going.send = (how) => {
    clearTimeout(going.timer);
    S.going = S.going.filter((each) => each !== going);
    drop(going.toast);
    return act(going.toast.key, async () => {
      const { ids } = await bulk('delete', target, { how });
      S.list.order = S.list.order.filter((id) => !ids.includes(id));
      for (const id of ids) S.ticked.delete(id);
      S.list.take ||= !!target.filter;
      if (ids.includes(S.view.id)) location.hash = '#/jobs';
    });
  };
  going.undo = () => {
    clearTimeout(going.timer);
    S.going = S.going.filter((each) => each !== going);
    drop(going.toast);
    toast('Nothing was deleted');
  };
  S.going.push(going);
  going.timer = setTimeout(going.send, 8000);
  going.toast = toast(`${many(count, 'job')} will be deleted`, { until: now() + 8000, undo: going.undo, isCounting: true });
}

const drop = (gone) => { S.toasts.splice(S.toasts.indexOf(gone), S.toasts.includes(gone) ? 1 : 0); render(); };
const isGoing = (row) => S.going.some((going) => going.ids.has(row.id) || (going.filter && S.all));

async function chosen() { // what a bulk action is about
  if (S.all) return freeze(filterOf(S.view.params));
  return { ids: [...S.ticked] };
}

async function doAll(action, target) {
  const count = target.ids ? target.ids.length : target.matched;
  const which = target.filter ? ` that match ${spell(target.filter)}` : '';
  const clear = () => { S.ticked.clear(); S.list.take ||= S.all; S.all = false; };
  if (!count) { toast('No job matches any more'); return; }
  if (action === 'priority') {
    form({
      title: `Priority of ${many(count, 'job')}`, submit: 'Set priority', fields: [{ name: 'priority', label: 'Priority', type: 'number', required: true, value: '0', hint: '-1000 to 1000; higher runs first' }],
      onsubmit: async ({ priority }) => { await bulk('edit', target, { body: { set: { priority: +priority } } }); clear(); tick(); },
    });
  } else if (action === 'retry' && count <= 100 && target.ids) { clear(); act('bulk', () => bulk(action, target)); } else {
    const verb = { retry: 'Retry', cancel: 'Cancel', delete: 'Delete', hold: 'Hold', release: 'Release' }[action];
    const isGrave = count > 100 && action !== 'retry';
    form({
      title: `${verb} ${many(count, 'job')}?`, submit: `${verb} ${many(count, 'job')}`, isDanger: action !== 'retry',
      intro: [h('p', {
        retry: `${many(count, 'job')}${which} will run again.`,
        cancel: `${many(count, 'job')}${which} will not run; what runs is ended.`,
        delete: `${many(count, 'job')}${which} and their output go for good. For eight seconds you can undo it.`,
      }[action])],
      fields: isGrave ? [{ name: 'count', label: `Type ${count} to go on`, required: true, inputmode: 'numeric' }] : [],
      onsubmit: async (values) => {
        if (isGrave && values.count.replace(/\D/g, '') !== String(count)) throw new Trouble({ detail: 'That is another number', errors: [{ pointer: '/count', detail: `type ${count}` }] }, 422);
        if (action === 'delete') remove(target, count);
        else await bulk(action, target);
        if (action !== 'delete' || !S.all) clear();
        tick();
      },
    });
  }
}

const spell = (filter) => Object.entries(filter).filter(([name]) => name !== 'until' || S.view.params.until).map(([name, value]) => `${FILTERS[name].toLowerCase()} ${value}`).join(', ') || 'now';

const post = (key, path, words, body) => act(key, async () => {
  const made = await write('POST', `/api/v1/${path}`, body);
  toast(typeof words === 'function' ? words(made) : words);
});

const one = {
  retry: (id) => post(`retry ${id}`, `jobs/${id}/retry`, `${id} is queued again`),
  hold: (id) => post(`hold ${id}`, `jobs/${id}/hold`, `${id} is held`),
  release: (id) => post(`release ${id}`, `jobs/${id}/release`, `${id} is released`),
  cancel: (id, state) => (state === 'processing' ? form({
    title: 'Cancel a running job?', intro: [h('p', 'Its command and all it started are ended: ', h('code', id))], submit: 'Cancel the job', isDanger: true,
    onsubmit: async () => { await write('POST', `/api/v1/jobs/${id}/cancel`); toast(`${id} is cancelled`); tick(); },
  }) : post(`cancel ${id}`, `jobs/${id}/cancel`, `${id} is cancelled`)),
  delete: (id) => remove({ ids: [id] }, 1),
};

// --- dialogs: each has its own small state, which no refresh touches

function form(options) {
  const dialog = document.createElement('dialog');
  const state = { errors: {}, trouble: null, isBusy: false };
  let serial = 0;
  const values = () => Object.fromEntries((options.fields || []).map(({ name, type }) => {
    const node = dialog.querySelector(`[name=${name}]`);
    return [name, !node ? '' : type === 'checkbox' ? node.checked : node.value];
  }));
  const blame = (error) => {
    state.trouble = error;
    state.errors = Object.fromEntries((error.errors || []).map(({ pointer, detail, hint }) => [(options.pointer || ((p) => p.split('/').pop()))(pointer), `${detail}${hint ? ` (${hint})` : ''}`]));
  };
  const watch = () => {
    if (options.oninput) options.oninput(values());
    if (!options.check) return show();
    clearTimeout(state.timer);
    const turn = ++serial;
    state.timer = setTimeout(async () => {
      const extra = {};
      try { await options.check(values(), extra); if (turn === serial) Object.assign(state, { errors: {}, trouble: null, extra }); } catch (error) { if (turn === serial) { state.extra = null; blame(error); } }
      show();
    }, 300);
    show();
  };
  const submit = async (event) => {
    event.preventDefault();
    if (state.isBusy) return;
    state.isBusy = true;
    clearTimeout(state.timer);
    serial++;
    show();
    try { await options.onsubmit(values()); state.isDone = true; dialog.close(); return; } catch (error) {
      if (!(error instanceof Trouble)) error.errors = [];
      blame(error);
      say(error.message);
    }
    state.isBusy = false;
    show();
    const wrong = dialog.querySelector('[aria-invalid]');
    if (wrong) wrong.focus();
  };
  const field = (f) => {
    const id = `f-${f.name}`, wrong = state.errors[f.name], told = wrong || f.hint;
    const props = { id, name: f.name, required: f.required, 'aria-invalid': wrong ? 'true' : null, 'aria-describedby': told ? `${id}-told` : null, oninput: watch, value: f.value, autocomplete: f.autocomplete || 'off' };
    if (f.isHidden && f.isHidden(values())) return null;
    const label = h('label', { for: id }, f.label);
    const hint = told && h('span', { id: `${id}-told`, class: wrong ? 'small bad' : 'small soft' }, told);
    const node = f.options ? h('select', props, f.options.map((o) => h('option', { value: o }, o)))
      : f.type === 'area' ? h('textarea', { ...props, rows: f.rows || 3, spellcheck: 'false' })
        : h('input', { ...props, type: f.type || 'text', min: f.min, inputmode: f.inputmode, placeholder: f.placeholder });
    return h('div', { key: f.name, class: `field${f.whole ? ' whole' : ''}` }, f.type === 'checkbox' ? h('span.row', node, label) : [label, node], hint);
  };
  const show = () => {
    const lone = state.trouble && !(options.fields || []).some((f) => state.errors[f.name]) && state.trouble.message;
    const fields = (options.fields || []).filter((f) => !f.isMore), more = (options.fields || []).filter((f) => f.isMore);
    patch(dialog, [h('form', { onsubmit: submit, novalidate: !!options.check },
      h('div.row.apart', h('h2', { id: 'dialog-title' }, options.title), options.isFirm ? null : button(icon('close'), () => dialog.close(), { class: 'tiny plain', 'aria-label': 'Close' })),
      options.intro,
      h('div.fields', fields.map(field)),
      more.length && h('details', { open: more.some((f) => state.errors[f.name]) || null }, h('summary', options.more), h('div.fields', more.map(field))),
      options.after && options.after(state.extra, values()),
      lone && h('p.bad', lone, state.trouble.hint ? ` (${state.trouble.hint})` : ''),
      h('div.row', h('span', { class: 'grow' }), options.isFirm ? null : button('Back', () => dialog.close()),
        h('button', { class: `main${options.isDanger ? ' danger' : ''}`, 'aria-disabled': state.isBusy ? 'true' : null }, options.submit)))]);
  };
  dialog.setAttribute('aria-labelledby', 'dialog-title');
  dialog.onclose = () => { dialog.remove(); if (options.onclose) options.onclose(state.isDone); };
  dialog.oncancel = (event) => { if (options.isFirm) event.preventDefault(); };
  document.body.append(dialog);
  show();
  dialog.showModal();
  const first = dialog.querySelector('textarea, input, select') || dialog.querySelector('button.main');
  if (first) first.focus();
  if (options.check && options.oninput) watch();
}

const numeric = (text) => (text.trim() === '' || Number.isNaN(+text) ? text.trim() : +text);

function seconds(text) {
  const found = /^([\d.]+)\s*(s|m|min|h|d)?$/.exec(text.trim());
  return found ? found[1] * { m: 60, min: 60, h: 3600, d: 86400 }[found[2]] || +found[1] : text.trim();
}

function toFields(values) {
  const made = { command: values.command };
  for (const name of ['name', 'queue', 'cwd', 'unique_key']) if (values[name]) made[name] = values[name].trim();
  for (const name of ['priority', 'max_retries']) if (values[name]) made[name] = numeric(values[name]);
  for (const name of ['timeout', 'backoff_base']) if (values[name]) made[name] = seconds(values[name]);
  if (values.run_at) made.run_at = new Date(values.run_at).toISOString();
  if (values.tags.trim()) made.tags = values.tags.split(',').map((tag) => tag.trim()).filter(Boolean);
  if (values.env.trim()) made.env = Object.fromEntries(values.env.split('\n').filter((line) => line.trim()).map((line) => { const cut = line.indexOf('='); return cut < 0 ? [line, ''] : [line.slice(0, cut).trim(), line.slice(cut + 1)]; }));
  return made;
}

function enqueue() {
  if (readOnly() || document.querySelector('dialog[open]')) return;
  let draft = {};
  try { draft = JSON.parse(sessionStorage.getItem(`${MINE}draft`)) || {}; } catch { /* none is kept */ }
  const lines = (values) => values.command.split('\n').filter((line) => line.trim());
  const body = (values) => (values.each && lines(values).length > 1 ? lines(values).map((command) => toFields({ ...values, command })) : toFields(values));
  const fields = [
    { name: 'command', label: 'Command', type: 'area', required: true, whole: true, hint: 'for /bin/sh' },
    { name: 'each', label: 'Each line is a job of its own', type: 'checkbox', whole: true, isHidden: (values) => lines(values).length < 2 },
    { name: 'name', label: 'Name' },
    { name: 'priority', label: 'Priority', hint: 'higher runs first', inputmode: 'numeric', placeholder: '0' },
    { name: 'max_retries', label: 'Retries', hint: 'after the first attempt', inputmode: 'numeric', isMore: true },
    { name: 'timeout', label: 'Time limit', hint: 'as 90, 10m or 2h; 0 is none', isMore: true },
    { name: 'run_at', label: 'Not before', type: 'datetime-local', isMore: true },
    { name: 'queue', label: 'Queue', placeholder: 'default', isMore: true },
    { name: 'tags', label: 'Tags', hint: 'with commas between', isMore: true },
    { name: 'unique_key', label: 'Unique key', hint: 'refused while another job has it', isMore: true },
    { name: 'cwd', label: 'Directory', placeholder: '/', whole: true, isMore: true },
    { name: 'env', label: 'Environment', type: 'area', hint: 'NAME=value, one a line', whole: true, rows: 2, isMore: true },
  ];
  for (const f of fields) f.value = draft[f.name] || '';
  form({
    title: 'Enqueue a job', submit: 'Enqueue', more: 'More settings', fields,
    oninput: (values) => { try { sessionStorage.setItem(`${MINE}draft`, JSON.stringify(values)); } catch { /* it is not kept */ } },
    check: async (values, extra) => { if (values.command.trim()) Object.assign(extra, await write('POST', '/api/v1/jobs?dry_run=true', body(values)), { count: [body(values)].flat().length }); },
    pointer: (pointer) => pointer.split('/').filter((part) => part && !/^\d+$/.test(part))[0],
    after: (extra) => h('div.field', h('span.small.soft', 'The same on the command line'),
      extra && extra.command_line ? h('div.row', h('pre.code.grow', extra.command_line), copier(extra.command_line, 'Copy the command line'))
        : h('pre.code', extra && extra.count ? `${extra.count} jobs` : 'queuectl enqueue …')),
    onsubmit: async (values) => {
      if (!values.command.trim()) throw new Trouble({ detail: 'A command is needed', errors: [{ pointer: '/command', detail: 'type what is to be run' }] }, 422);
      const made = await write('POST', '/api/v1/jobs', body(values));
      try { sessionStorage.removeItem(`${MINE}draft`); } catch { /* there is none */ }
      const bad = made.refused.length ? `; ${many(made.refused.length, 'job')} refused: ${made.refused[0].detail}` : '';
      toast(`${made.ids.length === 1 ? `Queued ${made.ids[0]}` : `Queued ${many(made.ids.length, 'job')}`}${bad}`, made.ids.length === 1 ? { hash: `#/jobs/${made.ids[0]}` } : {});
      S.list.take = true;
      tick();
    },
  });
}

async function edit(id, isRetry) {
  const job = await jobOrNull(id);
  if (!job) return toast(`${id} is not there any more`, { kind: 'error' });
  const old = { command: job.argv ? job.argv.join('\n') : job.command, priority: String(job.priority), max_retries: String(job.max_retries ?? ''), timeout: String(job.timeout ?? ''), cwd: job.cwd || '' };
  form({
    title: isRetry ? 'Edit and retry' : 'Edit the job', submit: isRetry ? 'Retry with these' : 'Save', intro: soft('Job ', id, job.last_error ? [', which failed with: ', h('code', job.last_error)] : ''),
    fields: [
      { name: 'command', label: job.argv ? 'Program and arguments, one a line' : 'Command', type: 'area', rows: 5, required: true, whole: true },
      { name: 'priority', label: 'Priority' },
      { name: 'max_retries', label: 'Retries', hint: `empty: as configured (${job.max_retries_in_force})` },
      { name: 'timeout', label: 'Time limit', hint: 'empty: as configured' },
      { name: 'cwd', label: 'Directory' },
    ].map((f) => ({ ...f, value: old[f.name] })),
    onsubmit: async (values) => {
      const set = {};
      for (const [name, text] of Object.entries(values)) {
        if (text === old[name]) continue;
        if (name === 'command') set[job.argv ? 'argv' : 'command'] = job.argv ? text.split('\n') : text;
        else set[name] = text.trim() === '' ? null : name === 'timeout' ? seconds(text) : name === 'cwd' ? text : numeric(text);
      }
      const isSame = !Object.keys(set).length;
      if (isRetry || !isSame) await write('POST', `/api/v1/jobs/${id}/${isRetry ? 'retry' : 'edit'}`, isSame ? {} : { set });
      toast(isRetry ? `${id} is queued again` : `${id} is saved`);
      tick();
    },
  });
}

function help() {
  const rows = [['/', 'search'], ['g o, g j, g d, g w, g c, g h', 'go to a view'], ['n', 'enqueue'], ['j k', 'next, previous job'], ['x', 'tick the job'], ['r c e', 'retry, cancel, edit'], ['Del', 'delete'], ['u', 'undo'], ['p', 'stop or go on refreshing'], ['?', 'this help']];
  form({
    title: 'Keys', submit: 'Keep', intro: [h('dl', rows.map(([key, what]) => [h('dt', key.split(', ').map((k, i) => [i ? ', ' : '', h('kbd', k)])), h('dd', what)]))],
    fields: [{ name: 'keys', label: 'Single keys do something', options: ['on', 'off'], value: S.keys ? 'on' : 'off' }],
    onsubmit: async ({ keys }) => { keep('keys', keys); S.keys = keys === 'on'; },
  });
}

// --- the views

function frame() {
  const { snap } = S, counts = snap && snap.counts;
  patch($('where'), [snap ? [h('bdi', snap.hostname), ' ', h('bdi.mono', snap.home)] : ''].flat());
  const isOn = S.every !== 'off' && !S.lost;
  patch($('controls'), S.session ? [
    h('label.live', h('span', { class: `dot ${isOn ? 'on' : 'off'}` }), 'Refresh',
      h('select', { value: S.every, onchange: (event) => { keep('every', S.every = event.target.value); tick(); } }, [['1', '1 s'], ['3', '3 s'], ['10', '10 s'], ['off', 'off']].map(([value, word]) => h('option', { value }, word)))),
    h('label', h('span.unseen', 'Colours'), h('select', { value: keep('theme') || 'auto', onchange: (event) => { keep('theme', event.target.value); theme(); } }, ['auto', 'light', 'dark'].map((value) => h('option', { value }, value)))),
    button('?', help, { 'aria-label': 'Keys' }),
    readOnly() ? h('span.soft.small', 'read-only') : button('+ Enqueue', enqueue, { class: 'main' }),
  ] : []);
  patch($('nav'), Object.entries(VIEWS).map(([name, word]) => link(`#/${name}`, [word,
    name === 'dead' && counts && counts.dead ? h('span.count.dead', number(counts.dead)) : null,
    name === 'workers' && snap && snap.workers.length ? h('span.count', `${snap.workers.filter((w) => w.state === 'busy').length}/${snap.workers.length}`) : null,
    name === 'health' && snap && snap.health.status !== 'pass' ? h('span', { class: `state s-${snap.health.status}` }, ' ', icon('warn'), h('span.unseen', snap.health.status)) : null,
  ], { 'aria-current': S.view.name === name ? 'page' : null })));
}

function banners() {
  const made = [];
  if (S.lost) made.push(h('div', { key: 'lost', class: 'banner error' }, icon('warn'), h('b.grow', `Connection lost ${ago(new Date(S.lost))}: ${S.lostWhy}. What you see is old. Trying again in ${span(Math.max(0, Math.ceil((S.due - now()) / 1000)))}.`), button('Try now', S.session ? tick : start, { class: 'tiny' })));
  if (!S.snap) return made;
  for (const { level, text, hint } of S.snap.attention) {
    const isDead = hint === 'queuectl dlq list', starts = (hint || '').startsWith('queuectl worker start');
    if (isDead && S.view.name !== 'overview') continue;
    made.push(h('div', { key: text, class: `banner ${level}` }, icon(level === 'info' ? 'info' : 'warn'), h('span.grow', text), isDead ? link('#/dead', 'Look at them', { class: 'button tiny' }) : [
      starts && !readOnly() ? button('Start 2 workers', () => startWorkers(2), { class: 'tiny' }) : null, hint ? type(hint) : null]));
  }
  if (!S.snap.index.available && !S.snap.index.problem) made.push(h('div', { key: 'index', class: 'banner warn' }, icon('warn'), h('span.grow', S.snap.index.syncing ? `The index is being built (${S.snap.index.syncing}): jobs can be listed when it is done.` : 'Without the index, jobs cannot be listed; the queue itself works.')));
  return made;
}

const startWorkers = (count) => post('workers', 'workers', (made) => `Started ${made.workers.join(', ')}`, { count });
const jobsOf = (params) => `#/jobs?${new URLSearchParams(params)}`;
const empty = (name, title, ...more) => h('div.card.empty', icon(name), h('h2', title), ...more);

const views = {
  overview() {
    const { snap } = S, { counts, last_hour: hour, throughput: flow } = snap, check = snap.health.checks;
    const busy = snap.workers.filter((worker) => worker.state === 'busy').length;
    const tile = (label, value, more, hash, level, extra) => link(hash, [h('span.label', label), h('span.value', value), h('span.small.soft', more), extra], { class: `card tile ${level && level !== 'pass' ? level : ''}` });
    const ended = hour ? hour.done + hour.failed : 0, share = snap.disk.free_bytes / snap.disk.total_bytes || 0;
    const isNew = counts && !COUNTED.some((state) => counts[state]) && !ended;
    return [
      h('h1.unseen', 'Overview'),
      h('div.tiles',
        tile('Oldest waiting', counts ? snap.oldest_waiting_at ? span(Math.floor((now() - at(snap.oldest_waiting_at)) / 1000)) : 'none' : '?', !counts ? 'not known' : check.oldest_pending.status === 'pass' ? 'on time' : 'late', jobsOf({ state: 'pending', sort: '-run_at' }), check.oldest_pending.status),
        tile('Throughput', hour ? [+hour.per_minute.toFixed(hour.per_minute < 10 ? 1 : 0), h('small', ' /min')] : '?', 'last hour', jobsOf({ state: 'completed' }), '', flow && spark(flow)),
        tile('Failed', hour ? ended ? percent(hour.failed / ended) : 'none' : '?', hour ? `${number(hour.failed)} of ${number(ended)}, last hour` : 'not known', jobsOf({ state: 'failed,dead' })),
        tile('Workers', [busy, h('small', ` busy of ${snap.workers.length}`)], snap.supervisor ? snap.supervisor.draining ? 'draining' : 'supervisor runs' : 'no supervisor', '#/workers', check.supervisor.status === 'pass' ? check.workers.status : check.supervisor.status),
        tile('Dead', counts ? number(counts.dead) : '?', !counts ? 'not known' : snap.dead_today ? `${number(snap.dead_today)} today` : 'none today', '#/dead', counts && counts.dead ? 'fail' : ''),
        tile('Disk free', percent(share), size(snap.disk.free_bytes), '#/health', check.disk.status)),
      counts && h('ul.counts', COUNTED.map((state) => h('li', link(jobsOf({ state }), [pill(state, true), h('b', number(counts[state]))], { class: 'card count-card' })))),
      isNew ? guide() : S.stats && charts(S.stats),
      snap.running.length > 0 && h('section.card.run', h('h2', 'Running now'), h('div.wide.stack', table(['Job', 'Last output', 'Time', 'Processor', 'Memory', 'Worker'],
        snap.running.map((job) => [job.id, [
          h('th', { scope: 'row', class: 'full' }, toJob(job.id), ' ', job.name, h('span.cmd.soft', { title: job.command }, job.command)),
          h('td.mono.full', job.progress ? [job.progress, ' '] : '', job.last_line, job.progress_share != null ? h('span.meter', h('span', { style: { width: `${job.progress_share * 100}%` } })) : null),
          h('td.tight', { 'data-label': 'Time' }, elapsed(job)),
          h('td.tight', { 'data-label': 'Processor' }, job.cpu_percent == null ? '' : `${job.cpu_percent.toFixed(0)} %`),
          h('td.tight', { 'data-label': 'Memory' }, job.rss_bytes == null ? '' : size(job.rss_bytes)),
          h('td.tight', { 'data-label': 'Worker' }, job.worker)]]))),
      counts && counts.processing > snap.running.length ? link(jobsOf({ state: 'processing' }), `All ${number(counts.processing)} running jobs`) : null),
      counts && !isNew && h('section.card', h('h2', 'Failures of the last 24 hours'), snap.failures.length ? groupTable(snap.failures) : h('p.state.s-completed', icon('completed'), 'None')),
      snap.queues.length > 1 && h('section.card', h('h2', 'Queues'), h('div.wide', table(['Queue', 'Waiting', 'Oldest', 'Running', 'Dead'],
        snap.queues.map(({ name, counts: n, oldest_waiting_at: oldest }) => [name, [h('th', { scope: 'row' }, link(jobsOf({ queue: name }), name)), number(n.pending + n.failed), oldest ? when(oldest) : '', number(n.processing), number(n.dead)]])))),
    ];
  },
  jobs() { return S.view.id ? jobView() : listView(); },
  dead() {
    const { groups } = S;
    if (!groups) return [h('h1', 'Dead letters'), soft('Loading …')];
    return [
      h('div.row.apart', h('h1', 'Dead letters'), link(jobsOf({ state: 'dead' }), `All ${many(groups.total, 'dead job')}`)),
      S.trials.map(trialCard),
      groups.groups.length ? groups.groups.map(groupCard) : empty('completed', 'Nothing is dead', soft('Jobs come here when they have failed and no retry is left.')),
    ];
  },
  workers() {
    const { supervisor, workers } = S.snap, held = workers.filter((worker) => worker.job_id);
    const later = (worker) => (worker.job_id ? ' when its job has ended' : '');
    const stop = (now, words) => form({
      title: words, submit: words, isDanger: now, intro: [h('p', now ? 'Commands that run are ended and their jobs queued again:' : 'A worker that runs a job stops when the job has ended.'), held.length > 0 && h('ul', held.map((worker) => h('li', h('code', worker.job_id), ' ', worker.command)))],
      onsubmit: async () => { const made = await write('POST', '/api/v1/workers/stop', { now }); toast(made.workers.length ? `Stopping ${made.workers.join(', ')}` : 'No worker runs'); tick(); },
    });
    return [
      h('div.row.apart', h('h1', 'Workers'), readOnly() ? null : h('div.row',
        button('Start a worker', () => startWorkers(1), { class: 'main', key: 'start' }),
        supervisor && [button('Restart all', () => post('workers', 'workers/restart', 'Each worker is replaced when its job has ended')), button('Stop all', () => stop(false, 'Stop all workers')), button('Stop now', () => stop(true, 'Stop now'), { class: 'danger' })])),
      supervisor ? h('p.soft', `Supervisor ${supervisor.version}, pid ${supervisor.pid}, since `, when(supervisor.started_at), supervisor.draining ? ', draining' : '', supervisor.adopted.length ? `, looks after ${many(supervisor.adopted.length, 'job')} whose worker died` : '')
        : empty('held', 'No worker runs', soft('Jobs wait until one does. ', type('queuectl worker start --count 2'))),
      h('div.cards', workers.map((worker) => h('article', { key: worker.name, class: 'card' },
        h('div.row.apart', h('h2', worker.name), pill2(worker.state)),
        h('dl', [['Job', worker.job_id && [toJob(worker.job_id), ' ', h('span.cmd.soft', worker.command)]], ['For', worker.job_since && span(Math.floor((now() - at(worker.job_since)) / 1000))],
          ['Done', `${number(worker.done)}, ${number(worker.failed)} failed`], ['Uses', worker.rss_bytes != null && `${(worker.cpu_percent || 0).toFixed(0)} % processor, ${size(worker.rss_bytes)}`],
          ['Process', worker.pid && [`${worker.pid}, since `, when(worker.started_at), worker.restarts ? `, replaced ${many(worker.restarts, 'time')}` : '']]].map(([word, value]) => (value ? [h('dt', word), h('dd', value)] : []))),
        readOnly() ? null : h('div.row', button('Stop', () => post(`stop ${worker.name}`, 'workers/stop', `${worker.name} stops${later(worker)}`, { id: worker.name }), { class: 'tiny', 'aria-label': `Stop ${worker.name}` }),
          button('Restart', () => post(`restart ${worker.name}`, 'workers/restart', `${worker.name} is replaced${later(worker)}`, { id: worker.name }), { class: 'tiny', 'aria-label': `Restart ${worker.name}` }))))),
    ];
  },
  config() {
    if (!S.config) return [h('h1', 'Config'), soft('Loading …')];
    const set = (setting) => form({
      title: setting.name, submit: 'Save', intro: soft(setting.help), pointer: () => 'value',
      fields: [{ name: 'value', label: `Value${setting.unit ? ` (${setting.unit})` : ''}`, value: setting.spelled, options: setting.choices.length ? setting.choices : null, whole: true, hint: `must be ${setting.expected}` }],
      onsubmit: async ({ value }) => {
        const made = await write('PUT', `/api/v1/config/${setting.name}`, { value });
        toast(made.overridden_by ? `Saved, but ${made.overridden_by} goes before it` : `${setting.name} is set`);
        tick();
      },
    });
    return [
      h('div.row.apart', h('h1', 'Config'), h('code.soft', S.config.path)),
      S.config.problem && h('div.banner.error', icon('warn'), h('span.grow', `${S.config.problem}. Until it is mended, the defaults are in force.`)),
      h('section.card', h('div.wide.stack', table(['Setting', 'Value', 'From', h('span.unseen', 'Change')],
        S.config.settings.map((setting) => [setting.name, [
          h('th', { scope: 'row', class: 'full' }, h('code', setting.name), h('p.soft.small.help', setting.help)),
          h('td.mono', { 'data-label': 'Value' }, setting.spelled || 'none'), h('td.small', { 'data-label': 'From' }, setting.origin),
          h('td.tight', readOnly() ? null : h('div.row', button('Edit', () => set(setting), { class: 'tiny', 'aria-label': `Edit ${setting.name}` }),
            setting.origin.startsWith('config.yaml') && button('Reset', () => act(`unset ${setting.name}`, async () => { await write('DELETE', `/api/v1/config/${setting.name}`); toast(`${setting.name} is as it was by default`); }), { class: 'tiny', 'aria-label': `Reset ${setting.name}` })))]])))),
    ];
  },
  health() {
    const { health } = S.snap, words = { pass: 'Well', warn: 'Needs a look', fail: 'Does not work' };
    const badge = (status) => h('span', { class: `state pill s-${status}` }, icon({ pass: 'completed', warn: 'warn', fail: 'dead' }[status]), words[status]);
    return [
      h('div.row.apart', h('h1', 'Health'), badge(health.status)),
      h('section.card', h('div.wide.stack', h('table', h('caption.unseen', 'Checks'),
        h('tbody', Object.entries(health.checks).map(([name, check]) => h('tr', { key: name }, h('th', { scope: 'row', class: 'tight' }, name.replace('_', ' ')), h('td.tight', badge(check.status)), h('td.full', check.detail, check.hint ? [' ', type(check.hint)] : ''))))))),
      soft(`QueueCTL ${health.version}. Monitors ask /healthz, Prometheus /metrics.`),
    ];
  },
};

const table = (heads, rows, caption) => h('table', caption && h('caption.unseen', caption), h('thead', h('tr', heads.map((word) => h('th', { scope: 'col' }, word)))), h('tbody', rows.map(([key, cells]) => h('tr', { key }, cells.map((cell) => (cell && /^t[dh]$/.test(cell.tag) ? cell : h('td', cell)))))));

const pill2 = (state) => h('span', { class: `state pill s-${{ busy: 'processing', idle: 'completed', backoff: 'failed', gone: 'dead' }[state] || 'held'}` }, icon({ busy: 'processing', idle: 'pending', backoff: 'failed', gone: 'dead' }[state] || 'held'), state);

function elapsed(job) {
  const s = job.started_at ? Math.floor((now() - at(job.started_at)) / 1000) : 0, share = job.timeout ? s / job.timeout : 0;
  return [span(s), job.timeout ? h('span.soft', ` of ${span(job.timeout)}`) : '', job.timeout ? h('span', { class: `meter${share > 0.8 ? ' late' : ''}` }, h('span', { style: { width: `${Math.min(100, share * 100)}%` } })) : ''];
}

const guide = () => h('section.card.empty', icon('logo'), h('h2', 'Three steps to the first job'), h('ol.guide',
  h('li', 'Start workers: ', type('queuectl worker start --count 2')), h('li', 'Enqueue a command: ', type("queuectl enqueue --command 'echo hello'"), ' or press + Enqueue'), h('li', 'Watch it here, or with ', type('queuectl status'))));

const groupTable = (groups) => h('div.wide.stack.groups', table(['Jobs', 'Error', 'Last'],
  groups.map((group) => [group.fingerprint, [h('td.tight', link(jobsOf({ state: 'failed,dead', error: group.fingerprint }), many(group.count, 'job'))),
    h('td.full', h('span.mono.bad', errorOf(group)), h('span.cmd.soft', group.command)), h('td.tight', when(group.last_at))]])));
const errorOf = (group) => group.last_error || group.dead_reason || (group.exit_code != null ? `exit code ${group.exit_code}` : group.outcome || 'no error was noted');

const spark = (flow) => {
  const sums = flow.completed.map((n, i) => n + flow.failed[i] + flow.dead[i]), most = Math.max(1, ...sums);
  return h('svg.spark', { viewBox: '0 0 60 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, sums.map((n, i) => h('rect.f-completed', { x: i, width: 0.8, y: 20 - n / most * 20, height: n / most * 20 })));
};

function bars(stats) {
  const sums = stats.buckets.map((b) => b.completed + b.failed + b.dead), most = Math.max(4, ...sums), wide = 600 / sums.length;
  const bar = (b, i) => {
    let y = 150;
    return ['completed', 'failed', 'dead'].map((what) => b[what] && h('rect', { fill: `url(#p-${what})`, x: i * wide + 40, width: Math.max(1, wide - 1), y: y -= b[what] / most * 140, height: b[what] / most * 140 }));
  };
  return plot(stats, [0, Math.round(most / 2), most].map((n) => [number(n), 150 - n / most * 140]), stats.buckets.map(bar), (b) => `${b.completed} done, ${b.failed} failed, ${b.dead} dead`);
}

const TIMES = { wait_p50: 'l-wait', wait_p95: 'l-wait.l-p95', run_p50: 'l-run', run_p95: 'l-run.l-p95' };

function curves(stats) { // a logarithmic scale: a wait of 10 ms and one of an hour are both to be seen
  const all = stats.buckets.flatMap((b) => Object.keys(TIMES).map((name) => b[name])).filter((s) => s > 0);
  const low = Math.floor(Math.log10(Math.max(0.001, Math.min(...all, 0.1)))), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all, 1))));
  const y = (s) => 150 - (Math.log10(Math.max(s, 10 ** low)) - low) / (high - low) * 140, wide = 600 / stats.buckets.length;
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => [low + i < 2 ? span(10 ** (low + i)) : `${number(10 ** (low + i))} s`, y(10 ** (low + i))]);
  const lines = Object.entries(TIMES).map(([name, kind]) => h(`path.l.${kind}`, { d: stats.buckets.map((b, i) => {
    const x = ((i + 0.5) * wide + 40).toFixed(1), before = i && stats.buckets[i - 1][name] != null;
    return b[name] == null ? '' : `${before ? 'L' : 'M'}${x} ${y(b[name]).toFixed(1)}${before ? '' : 'h.1'}`;
  }).join('') }));
  return plot(stats, ticks, lines, (b) => (b.run_p50 == null ? 'nothing ran' : `waited ${span(b.wait_p50 || 0)} (95 %: ${span(b.wait_p95 || 0)}), ran ${span(b.run_p50)} (95 %: ${span(b.run_p95)})`));
}

const clock = (iso) => new Date(at(iso)).toLocaleString('en-GB', { weekday: S.window === '7d' ? 'short' : undefined, hour: '2-digit', minute: '2-digit' });

function plot(stats, ticks, what, words) {
  const wide = 600 / stats.buckets.length, step = Math.ceil(stats.buckets.length / 4);
  return h('svg.chart', { viewBox: '0 0 642 170', 'aria-hidden': 'true' },
    ticks.map(([word, y]) => [h('path.grid', { d: `M40 ${y}h600` }), h('text', { x: 36, y: y + 4, 'text-anchor': 'end' }, word)]), what,
    stats.buckets.map((b, i) => [i % step === 0 ? h('text', { x: i * wide + 40, y: 167 }, clock(b.at)) : null, h('rect.hit', { x: i * wide + 40, width: wide, y: 5, height: 147 }, h('title', `${clock(b.at)}: ${words(b)}`))]));
}

function charts(stats) {
  const { totals } = stats, times = (kind) => (totals[`${kind}_p50`] == null ? 'not measured' : `${span(totals[`${kind}_p50`])}, 95 % within ${span(totals[`${kind}_p95`])}`);
  const legend = (kind, word) => h('span', h('svg', { viewBox: '0 0 20 8', 'aria-hidden': 'true' }, kind.startsWith('p-') ? h('rect', { fill: `url(#${kind})`, width: 20, height: 8 }) : h(`path.l.${kind}`, { d: 'M1 4h18' })), word);
  const chart = (title, summary, drawn, legends, heads, cells) => h('section.card', h('h2', title), h('p.soft.small', summary), drawn, h('div.legend', legends),
    h('details', { ontoggle: (event) => { S.tables[event.target.open ? 'add' : 'delete'](title); render(); } }, h('summary', 'Show as table'), S.tables.has(title) && h('div.scroll', table(['From', ...heads], stats.buckets.filter((b) => b.enqueued || b.run_p50 != null || b.failed || b.dead).map((b) => [b.at, [clock(b.at), ...cells(b)]]), title))));
  const name = { '1h': 'hour', '24h': '24 hours', '7d': '7 days' }[stats.window], s = (n) => (n == null ? '' : span(n));
  return [h('div.row.apart', h('h2', 'How it went'), h('div.segments', { role: 'group', 'aria-label': 'Window' }, ['1h', '24h', '7d'].map((key) => button(key, () => { keep('window', S.window = key); tick(); }, { 'aria-pressed': String(S.window === key), class: 'tiny' })))),
    h('div.halves',
      chart('Throughput', `In the last ${name} ${number(totals.completed)} done, ${number(totals.failed)} failed, ${number(totals.dead)} dead.`, bars(stats), [legend('p-completed', 'done'), legend('p-failed', 'failed, to be retried'), legend('p-dead', 'dead')], ['Enqueued', 'Done', 'Failed', 'Dead'], (b) => [b.enqueued, b.completed, b.failed, b.dead].map(number)),
      chart('Waiting and running', `Half of the jobs waited ${times('wait')}; they ran ${times('run')}.`, curves(stats), [legend('l-wait', 'wait, median'), legend('l-wait.l-p95', '95 %'), legend('l-run', 'run, median'), legend('l-run.l-p95', '95 %')], ['Wait', '95 %', 'Run', '95 %'], (b) => [b.wait_p50, b.wait_p95, b.run_p50, b.run_p95].map(s)))];
}

// --- jobs

function listView() {
  const { params } = S.view, { list, snap } = S, rows = list.order.map((id) => list.rows.get(id)), filter = filterOf(params);
  const states = new Set((params.state || '').split(',').filter(Boolean));
  const toggle = (state) => { if (!states.delete(state)) states.add(state); refine({ state: [...states].join(',') }); };
  const first = (+params.page || 1) * (+params.limit || 50) - (+params.limit || 50) + 1, total = list.total == null ? '' : `${number(list.total)}${list.isExact ? '' : '+'}`;
  const turn = (page, cursor) => { location.hash = address({ ...params, page: page > 1 ? page : null, cursor }); };
  const page = +params.page || 1;
  const more = (event) => { event.preventDefault(); const { what, text } = event.target.elements; if (text.value.trim()) refine({ [what.value]: text.value.trim() }); text.value = ''; };
  return [
    h('div.row.apart', h('h1', 'Jobs'), total && h('p.soft', rows.length ? `${number(first)}–${number(first + rows.length - 1)} of ${total}` : `0 of ${total}`)),
    h('section.card.filters',
      h('div.chips', { role: 'group', 'aria-label': 'States' }, COUNTED.map((state) => button([icon(state), STATES[state][0], snap.counts && h('b', number(snap.counts[state]))], () => toggle(state), { class: `toggle s-${state}`, 'aria-pressed': String(states.has(state)) }))),
      h('div.row',
        h('label.grow', h('span.unseen', 'Search in id, name and command'), h('input#search', { type: 'search', placeholder: 'Search id, name, command', value: params.q || '', oninput: (event) => { clearTimeout(S.typing); const { value } = event.target; S.typing = setTimeout(() => refine({ q: value }, true), 300); } })),
        h('form.row', { onsubmit: more }, h('select', { name: 'what', 'aria-label': 'Filter by' }, ['queue', 'tag', 'batch', 'since', 'until'].map((name) => h('option', { value: name }, FILTERS[name]))), h('input.short', { name: 'text', 'aria-label': 'Filter value', placeholder: 'as 2h, video' }), h('button', 'Add filter')),
        h('label.row', h('span.soft.small', 'Sort'), h('select', { value: params.sort || 'updated', onchange: (event) => refine({ sort: event.target.value }) }, Object.entries(SORTS).map(([value, word]) => h('option', { value }, word))))),
      Object.keys(filter).length > 0 && h('div.chips', Object.entries(filter).map(([name, value]) => h('span.chip', { key: name }, `${FILTERS[name]}: ${value}`, button(icon('close'), () => refine({ [name]: null }), { 'aria-label': `Remove the filter ${name}` }))), button('Clear all', () => { location.hash = '#/jobs'; }, { class: 'tiny plain' }))),
    list.fresh && list.fresh.length > 0 && h('button#fresh', { key: 'fresh', type: 'button', onclick: () => { list.take = true; tick(); } }, page > 1 ? 'This page has moved on: show it anew' : `${many(list.fresh.length, `${list.fresh.every((job) => at(job.created_at) >= list.at - 3000) ? 'new' : 'new or changed'} job`)}: show`),
    list.error ? empty('warn', list.error.message, soft(list.error.hint), link('#/jobs', 'Clear all filters'))
      : !rows.length ? list.path && (Object.keys(filter).length ? empty('info', 'No job matches', soft('Of ', number(COUNTED.reduce((sum, state) => sum + snap.counts[state], 0)), ' jobs in all.'), link('#/jobs', 'Clear all filters')) : empty('logo', 'No jobs yet', soft(type("queuectl enqueue --command 'echo hello'"))))
        : h('section.card.jobs', { key: 'list' }, jobTable(rows)),
    (page > 1 || list.cursor) && h('div.row', { key: 'pages' }, page > 1 && [button('First', () => turn(1)), S.pages[page - 2] !== undefined && button('Previous', () => turn(page - 1, S.pages[page - 2]))],
      list.cursor && button('Next', () => { S.pages[page - 1] = params.cursor || null; turn(page + 1, list.cursor); }), h('span.soft', `Page ${page}`)),
    (S.ticked.size > 0 || S.all) && !readOnly() && bulkBar(rows),
  ];
}

function jobTable(rows) {
  const on = rows.filter((row) => S.ticked.has(row.id)).length;
  const tickAll = (event) => { S.all = false; for (const row of rows) S.ticked[event.target.checked ? 'add' : 'delete'](row.id); render(); };
  const heads = [readOnly() ? '' : h('input', { type: 'checkbox', 'aria-label': 'Tick all on this page', checked: S.all || on === rows.length, indeterminate: on > 0 && on < rows.length, onchange: tickAll }), 'State', 'Job', 'Command', 'Tries', 'Changed', ''];
  return h('div.wide.stack', h('table', h('caption.unseen', 'Jobs'),
    h('thead', h('tr', heads.map((word, i) => h(`th.c${i}`, { scope: 'col' }, word || h('span.unseen', 'Actions'))))),
    h('tbody', rows.map((row) => {
      const isLate = row.state === 'failed' || (row.state === 'pending' && at(row.run_at) > now()), isOn = S.all || S.ticked.has(row.id);
      const action = ['removed', 'completed'].includes(row.state) ? null : ['pending', 'held', 'processing'].includes(row.state) ? 'cancel' : 'retry';
      return h('tr', { key: row.id, 'data-id': row.id, class: isGoing(row) ? 'going' : isOn ? 'ticked' : null },
        h('td', readOnly() ? '' : h('input', { type: 'checkbox', 'aria-label': `Tick ${row.id}`, checked: isOn, onchange: (event) => { S.all = false; S.ticked[event.target.checked ? 'add' : 'delete'](row.id); render(); } })),
        h('td', pill(stateOf(row))),
        h('th.full', { scope: 'row' }, toJob(row.id), h('p.small', row.name && [row.name, ' '], row.queue !== 'default' && [link(jobsOf({ queue: row.queue }), row.queue), ' '], row.tags.map((tag) => [link(jobsOf({ tag }), tag), ' ']))),
        h('td.full', h('span.cmd', { title: row.command }, row.command), row.last_error && ['failed', 'dead'].includes(row.state) && h('span.cmd.bad', { title: row.last_error }, row.last_error), isLate && h('span.small.soft', 'starts ', at(row.run_at) > now() ? when(row.run_at) : 'now')),
        h('td', { 'data-label': 'Tries' }, `${row.attempts}`, h('span.soft', ` of ${Math.max(row.attempts, row.max_retries + 1)}`), row.priority ? h('p.small.soft', `priority ${row.priority}`) : ''),
        h('td.small', when(row.updated_at)),
        h('td', !readOnly() && action && button(action === 'retry' ? row.state === 'failed' ? 'Run now' : 'Retry' : 'Cancel', () => one[action](row.id, row.state), { class: 'tiny', 'aria-label': `${action} ${row.id}`, 'aria-disabled': S.busy.has(`${action} ${row.id}`) ? 'true' : null })));
    }))));
}

const stateOf = (job) => (job.state === 'pending' && !job.attempts && at(job.run_at) > now() ? 'scheduled' : job.state);

function bulkBar(rows) {
  const { list } = S, isPage = rows.every((row) => S.ticked.has(row.id)) && (list.total > rows.length || !list.isExact);
  const run = (action) => act('bulk', async () => doAll(action, await chosen()));
  return h('div.card.bulk.row', { key: 'bulk', role: 'group', 'aria-label': 'Ticked jobs' },
    h('b', S.all ? `All ${number(list.total)}${list.isExact ? '' : '+'} matching` : `${number(S.ticked.size)} ticked`),
    isPage && !S.all && button(`Tick all ${number(list.total)}${list.isExact ? '' : '+'} that match`, () => { S.all = true; render(); }, { class: 'tiny' }),
    button('Clear', () => { S.ticked.clear(); S.all = false; render(); }, { class: 'tiny plain' }), h('span.grow'),
    button('Retry', () => run('retry')), button('Cancel', () => run('cancel')), button('Priority', () => run('priority')), button('Delete', () => run('delete'), { class: 'danger' }));
}

function jobView() {
  const { job, view } = S;
  if (S.missing === view.id) return [h('h1', 'Job ', h('bdi', view.id)), empty('info', S.missingWhy.message, soft('It was deleted, or it never was here.'), link('#/jobs', 'All jobs'))];
  if (!job || job.id !== view.id) return [h('h1', 'Job ', h('bdi', view.id)), soft('Loading …')];
  const can = new Set(readOnly() ? [] : job.actions), attempt = +view.params.attempt || job.attempts, isDone = ['dead', 'completed', 'cancelled'].includes(job.state);
  const command = job.argv ? JSON.stringify(job.argv) : job.command;
  const facts = [['Name', job.name], ['Queue', link(jobsOf({ queue: job.queue }), job.queue)], ['Priority', job.priority], ['Tags', job.tags && job.tags.map((tag) => [link(jobsOf({ tag }), tag), ' '])], ['Batch', job.batch && link(jobsOf({ batch: job.batch }), job.batch)],
    ['Created', when(job.created_at)], ['Not before', at(job.run_at) > now() && when(job.run_at)], ['Retries', `${Math.max(0, job.failures - (job.state === 'dead' ? 1 : 0))} of ${job.max_retries_in_force} used`], ['Time limit', job.timeout_s ? span(job.timeout_s) : 'none'],
    ['Directory', job.cwd], ['Unique key', job.unique_key], ['Progress', job.progress], ['Error', job.last_error && h('span.mono.bad', job.last_error)], ['Dead because', job.dead_reason], ['Alike', job.fingerprint && link(jobsOf({ state: 'failed,dead', error: job.fingerprint }), 'jobs with this error')],
    ['Environment', job.env && Object.keys(job.env).map((name) => h('div.mono', `${name}=••••`))], ['Result', job.result != null && h('code', JSON.stringify(job.result))], ['File', h('code', `${job.directory}/${job.id}.json`)]];
  const going = S.going.some((each) => each.ids.has(job.id));
  return [
    h('div.row.apart', h('div.row', link('#/jobs', 'Jobs'), '/', h('h1.id', job.id), copier(job.id, 'Copy the id'), pill(stateOf(job)), going && h('b.bad', 'will be deleted')),
      h('div.row', can.has('retry') && button(job.state === 'failed' || job.state === 'pending' || job.state === 'held' ? 'Run now' : job.state === 'completed' ? 'Run again' : 'Retry', () => one.retry(job.id), { class: job.state === 'dead' ? 'main' : '' }), can.has('retry') && button(isDone ? 'Edit and retry' : 'Edit', () => edit(job.id, isDone)),
        can.has('hold') && button('Hold', () => one.hold(job.id)), can.has('release') && button('Release', () => one.release(job.id)), can.has('cancel') && button('Cancel', () => one.cancel(job.id, job.state)), can.has('delete') && button('Delete', () => one.delete(job.id), { class: 'danger' }))),
    h('div.job',
      h('div',
        h('section.card', h('div.row.apart', h('h2', 'Command'), h('div.row', button([icon('copy'), 'Copy'], () => copy(job.command), { class: 'tiny' }), button([icon('copy'), 'Copy as queuectl command'], () => copy(job.command_line), { class: 'tiny' }))), h('pre.code', { tabindex: 0 }, command)),
        h('section.card', { key: `out ${job.id}` }, outputPanel(job, attempt))),
      h('div',
        h('section.card', h('h2', 'About'), h('dl', facts.map(([word, value]) => (value || value === 0 ? [h('dt', word), h('dd', value)] : [])))),
        h('section.card', h('h2', 'Attempts'), job.attempt_list.length ? h('ol.attempts', job.attempt_list.map((each, i) => attemptView(job, each, i === 0, attempt))) : soft('Not started yet.')),
        h('section.card', h('details', h('summary', `History, ${many(job.history.length, 'event')}`), h('pre.code', { tabindex: 0 }, job.history.map((entry) => JSON.stringify(entry)).join('\n')))))),
  ];
}

function attemptView(job, each, isNewest, shown) {
  const { event } = each, kind = !event ? 'processing' : { completed: 'completed', failed: 'failed', died: 'dead', cancelled: 'cancelled' }[event] || 'held';
  const how = !event ? 'runs' : each.timed_out ? 'timed out' : each.output_limit ? 'wrote too much' : each.failed_to_start ? 'did not start' : each.signal ? `killed by ${each.signal}` : each.exit_code != null ? `exit code ${each.exit_code}` : event;
  const end = each.ended_at ? at(each.ended_at) : now();
  return h(`li.s-${kind}`, { key: each.attempt }, h('span.knot', icon(kind)),
    h('h3', `Attempt ${each.attempt}: ${how}`),
    soft(when(each.started_at), `, ran ${span((end - at(each.started_at)) / 1000)} after waiting ${span((at(each.started_at) - at(each.ready_at)) / 1000)}`, each.worker && `, ${each.worker}`, each.cpu_s != null && `, ${span(each.cpu_s)} processor`, each.max_rss_bytes && `, ${size(each.max_rss_bytes)}`),
    (each.error || each.reason) && h('p.mono.bad', [each.reason, each.error].filter(Boolean).join(': ')), isNewest && each.retry_at && at(each.retry_at) > now() && h('p.small', 'next try ', when(each.retry_at)),
    shown === each.attempt ? h('span.small.soft', 'output shown') : each.output_bytes == null ? h('span.small.soft', 'output removed') : link(address({ attempt: each.attempt }), `Output, ${size(each.output_bytes)}`, { class: 'small' }));
}

// --- output: the end of a file, then what is added; never more than so many lines in the document

const LINES = 5000, BLOCK = 250, ESCAPES = /\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)/g;
const clean = (line) => inert(line.replace(ESCAPES, '').replace(/\r+$/, '').split('\r').pop().slice(0, 10000));

class Tail {
  constructor(id, attempt) { Object.assign(this, { id, attempt, at: 0, start: 0, rest: '', queue: '', follow: true, isOver: false, cut: 0, wait: 1, pane: null }); }

  url(query) { return `/api/v1/jobs/${this.id}/output?${new URLSearchParams({ attempt: this.attempt, ...query })}`; }

  attach(pane) {
    this.pane = pane;
    this.tail = document.createTextNode('');
    pane.append(this.tail);
    pane.onscroll = () => { const was = this.follow; this.follow = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 12; if (was !== this.follow) render(); };
    this.open();
  }

  async open() {
    try {
      const answer = await api('GET', this.url({ lines: 200 }));
      this.at = this.start = +answer.headers.get('x-queuectl-from');
      const isOver = answer.headers.get('x-queuectl-ended') === 'true';
      this.decoder = new TextDecoder();
      this.take(new Uint8Array(await answer.arrayBuffer()));
      if (isOver) this.end(); else this.stream();
    } catch (error) {
      if (error.status === 404) { this.why = error.message; this.isOver = true; render(); } else this.later(() => this.open());
    }
  }

  later(does) { if (S.tail === this) { setTimeout(() => S.tail === this && !document.hidden && does(), this.wait * 1000); this.wait = Math.min(10, this.wait * 2); } }

  async stream() {
    this.stop();
    const { signal } = this.abort = new AbortController();
    try {
      const reader = (await api('GET', this.url({ from: this.at, follow: true }), null, { signal })).body.getReader();
      this.wait = 1;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) { this.end(); tick(); return; }
        this.take(value);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 503) this.poll(); else this.later(() => this.stream());
    }
  }

  async poll() { // there are too many streams
    try {
      const answer = await api('GET', this.url({ from: this.at })), bytes = new Uint8Array(await answer.arrayBuffer());
      this.take(bytes);
      if (answer.headers.get('x-queuectl-ended') === 'true' && !bytes.length) this.end(); else this.later(() => this.poll());
    } catch { this.later(() => this.poll()); }
  }

  stop() { if (this.abort) this.abort.abort(); this.abort = null; }

  end() { this.isOver = true; this.abort = null; render(); }

  take(bytes) {
    this.at += bytes.length;
    this.queue += this.decoder.decode(bytes, { stream: true });
    if (this.queue.length > 2e6) { this.queue = this.queue.slice(-1e6); this.skipped = true; }
    if (!this.painting) { this.painting = true; requestAnimationFrame(() => this.paint()); }
  }

  paint() {
    this.painting = false;
    const lines = (this.rest + this.queue).split('\n');
    this.queue = '';
    this.rest = lines.pop();
    if (this.rest.length > 20000) this.rest = this.rest.slice(-10000);
    if (lines.length > LINES) { lines.splice(0, lines.length - LINES); this.skipped = true; }
    for (let i = 0; i < lines.length;) {
      if (!this.block || this.count >= BLOCK) {
        this.block = document.createElement('div');
        this.block.append('');
        this.count = 0;
        this.pane.insertBefore(this.block, this.tail);
      }
      const some = lines.slice(i, i + BLOCK - this.count);
      this.block.firstChild.appendData(some.map((line) => `${clean(line)}\n`).join(''));
      this.count += some.length;
      i += some.length;
    }
    const rest = clean(this.rest);
    if (this.tail.data !== rest) this.tail.data = rest;
    while (this.pane.children.length > LINES / BLOCK) { this.pane.firstChild.remove(); this.skipped = true; }
    if (this.follow) this.pane.scrollTop = this.pane.scrollHeight;
  }
}

function outputPanel(job, attempt) {
  if (!attempt) return [h('h2', 'Output'), soft('What it writes appears here as soon as it runs.')];
  const old = S.tail;
  if (!old || old.id !== job.id || old.attempt !== attempt) { if (old) old.stop(); S.tail = new Tail(job.id, attempt); }
  const { tail } = S;
  return [
    h('div.row.apart', h('h2', `Output of attempt ${attempt}`), h('div.row',
      tail.isOver ? null : h('span.live', h('span.dot', { class: tail.follow ? 'on' : 'off' }), tail.follow ? 'live' : 'scrolled back'),
      !tail.follow && button('To the end', () => { tail.follow = true; tail.pane.scrollTop = tail.pane.scrollHeight; render(); }, { class: 'tiny' }),
      h('label.row.small', h('input', { type: 'checkbox', checked: !S.nowrap, onchange: (event) => { S.nowrap = !event.target.checked; render(); } }), 'wrap'),
      h('a.small', { href: tail.url({}), target: '_blank', rel: 'noopener' }, 'Raw'), h('a.small', { href: tail.url({ download: true }), download: '' }, 'Download'))),
    tail.why ? soft(tail.why) : [(tail.start > 0 || tail.skipped) && soft('Earlier lines are in Raw and Download.'),
      h('pre', { key: `${job.id} ${attempt}`, class: `out${S.nowrap ? ' nowrap' : ''}`, tabindex: 0, 'aria-label': 'Output', role: 'region', own: true, born: (node) => tail.attach(node) })],
  ];
}

// --- dead letters

function retryGroup(group, limit) {
  return act(`group ${group.fingerprint}`, async () => {
    const target = await freeze({ state: 'dead', error: group.fingerprint }, group.last_at);
    if (!target.matched) { toast('No job matches any more'); return; }
    const { ids } = await bulk('retry', target, limit ? { body: { limit } } : {});
    S.trials = S.trials.filter((trial) => trial.group.fingerprint !== group.fingerprint);
    if (limit) S.trials.unshift({ group, ids, limit, left: target.matched - ids.length, states: {} });
  });
}

function trialCard(trial) {
  const tally = {};
  for (const id of trial.ids.slice(0, 10)) { const state = trial.states[id] || 'pending'; tally[state] = (tally[state] || 0) + 1; }
  const next = trial.limit === 1 && trial.left > 10 ? 10 : 0;
  return h('section.card', { key: `trial ${trial.group.fingerprint}` }, h('div.row.apart', h('h2', `${many(trial.ids.length, 'job')} tried again`), button(icon('close'), () => { S.trials.splice(S.trials.indexOf(trial), 1); render(); }, { class: 'tiny plain', 'aria-label': 'Close' })),
    h('div.row', Object.entries(tally).map(([state, n]) => [pill(state), number(n)]), trial.ids.length === 1 && toJob(trial.ids[0]), h('span.grow.mono.soft', errorOf(trial.group)),
      trial.left > 0 && !readOnly() && button(next ? 'Retry 10 more' : `Retry the other ${number(trial.left)}`, () => retryGroup(trial.group, next), { class: tally.completed === Math.min(10, trial.ids.length) ? 'main' : '' })));
}

function groupCard(group) {
  const filter = { state: 'dead', error: group.fingerprint }, n = group.count;
  return h('section.card', { key: group.fingerprint }, h('div.row.apart',
    h('div.grow', h('h2.mono.bad', errorOf(group)), h('span.cmd', { title: group.command }, group.command),
      soft(link(jobsOf(filter), many(n, 'job')), ', last ', when(group.last_at), n > 1 ? [', first ', when(group.first_at)] : '', ', newest ', toJob(group.id))),
    readOnly() ? null : h('div.row', button(n > 1 ? 'Retry 1' : 'Retry', () => retryGroup(group, 1), { class: 'main' }), n > 10 && button('Retry 10', () => retryGroup(group, 10)), n > 1 && button(`Retry all ${number(n)}`, () => act('bulk', async () => doAll('retry', await freeze(filter, group.last_at)))),
      button('Edit and retry', () => edit(group.id, true)), button(n > 1 ? `Delete ${number(n)}` : 'Delete', () => act('bulk', async () => { const target = await freeze(filter, group.last_at); if (target.matched > 1) doAll('delete', target); else remove({ ids: [group.id] }, 1); }), { class: 'danger' }))));
}

// --- all together

function render() {
  const focused = document.activeElement, { name, id } = S.view;
  frame();
  if (S.tail && (!id || S.tail.id !== id)) { S.tail.stop(); S.tail = null; }
  patch($('view'), [...banners(), h('div.view', { key: `${name} ${id}` }, S.snap && S.session ? views[name]() : h('h1', S.session ? 'Loading …' : 'QueueCTL'))]);
  patch($('toasts'), S.toasts.map((each) => h('div.toast', { key: each.key, class: each.kind }, h('span.grow', each.text, each.isCounting && each.until > now() ? ` in ${Math.ceil((each.until - now()) / 1000)} s` : ''),
    each.hash && h('a.button.tiny', { href: each.hash }, 'Look'), each.undo ? button('Undo', each.undo, { class: 'tiny' }) : button(icon('close'), () => drop(each), { class: 'tiny', 'aria-label': 'Close' }))));
  document.body.classList.toggle('lost', !!S.lost);
  document.title = `${S.lost ? '⚠ ' : ''}${id ? inert(id) : VIEWS[name]} · QueueCTL`;
  if (focused && focused !== document.body && !focused.isConnected && !document.querySelector('dialog[open]')) $('view').focus({ preventScroll: true });
}

const theme = () => { document.documentElement.dataset.theme = keep('theme') || 'auto'; };

function onKey(event) {
  if (!S.keys || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') || event.target.closest('input:not([type=checkbox]), textarea, select')) return;
  const row = event.target.closest('[data-id]'), links = [...document.querySelectorAll('tr[data-id] a.id')], place = row ? links.indexOf(row.querySelector('a.id')) : -1;
  const job = row ? S.list.rows.get(row.dataset.id) : S.view.id ? S.job : null;
  const isAfterG = S.g > Date.now() - 1500;
  S.g = event.key === 'g' ? Date.now() : 0;
  const does = isAfterG ? { o: 'overview', j: 'jobs', d: 'dead', w: 'workers', c: 'config', h: 'health' }[event.key] : {
    '/': () => { const box = $('search'); if (box) box.focus(); else location.hash = '#/jobs'; }, '?': help, n: enqueue, p: () => { keep('every', S.every = S.every === 'off' ? '3' : 'off'); toast(S.every === 'off' ? 'Refreshing is off' : 'Refreshing is on'); tick(); },
    u: () => { const going = S.going[S.going.length - 1]; if (going) going.undo(); }, j: () => links[place + 1] && links[place + 1].focus(), k: () => links[place - 1] && links[place - 1].focus(), x: () => row && row.querySelector('input').click(),
    ...(job && !readOnly() ? { r: () => one.retry(job.id), c: () => one.cancel(job.id, job.state), e: () => edit(job.id, ['dead', 'completed', 'cancelled'].includes(job.state)), Delete: () => one.delete(job.id) } : {}),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  if (typeof does === 'string') location.hash = `#/${does}`; else does();
}

theme();
addEventListener('hashchange', route);
addEventListener('keydown', onKey);
document.querySelector('.skip').onclick = (event) => { event.preventDefault(); $('view').focus(); };
document.addEventListener('visibilitychange', () => {
  if (document.hidden) { clearTimeout(S.timer); if (S.tail) S.tail.stop(); return; }
  if (S.session) tick(); else start();
  if (S.tail && !S.tail.isOver && S.tail.pane) S.tail.stream();
});
addEventListener('pagehide', () => { for (const going of [...S.going]) going.send({ keepalive: true }); });
setInterval(() => {
  if (document.hidden) return;
  S.toasts = S.toasts.filter((each) => each.until > now() || S.going.some((going) => going.toast === each));
  render();
}, 1000);
if (location.hash.startsWith('#token=')) route(); else start();
