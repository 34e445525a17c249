/* The list of jobs: filters, a page of rows, and what can be done to those that are selected. */
import { at, COUNTED, ENDED, FILTERS, many, number, plainText, SORTS, span, STATES } from './escape.js';
import { address, filterOf, goTo, jobsOf, keep, now, PAGE, pageOf, readOnly, refine, refresh, render, S, since, tick, untick } from './state.js';
import { h } from './dom.js';
import { banner, button, command, empty, errorBy, icon, idOf, link, pill, small, soft, spelled, stateOf, table, tags } from './components.js';
import { titleOf, type, when } from './components.js';
import { act } from './session.js';
import { cursorOf } from './refresh.js';
import { isGoing } from './tasks.js';
import { chosen, doAll, one } from './actions.js';

const TYPED = ['queue', 'tag', 'batch', 'since', 'until'], TYPING_MS = 300;
const ACTIONS = { pending: 'cancel', held: 'cancel', processing: 'cancel', failed: 'retry', cancelled: 'retry', dead: 'retry' };
let typing;

const PARAMS = [...Object.keys(FILTERS), 'sort', 'cursor', 'limit', 'page'];
const total = ({ total: n, isExact }) => `${number(n)}${isExact ? '' : '+'}`;
const isLoaded = () => S.list.view === S.view; // else the list is that of the address before
const show = () => {
  S.list.take = true;
  refresh();
};

export function jobs() {
  const { params } = S.view, { list } = S, filter = filterOf(params);
  const rows = list.order.map((id) => list.rows.get(id)), page = pageOf(params);
  const left = list.left?.size || 0, count = rows.length - left;
  const unknown = Object.keys(params).filter((name) => !PARAMS.includes(name));
  return [
    h('div.row.apart', h('h1', 'Jobs'), h('div.row',
      list.total != null && h('p.soft', isLoaded() ? `${range(list, count, params)} of ${total(list)}` : 'Loading …'),
      rows.length > 0 && tools(params))),
    unknown.length > 0 && banner('unknown', 'warn', `The address has the unknown filter ${unknown.join(', ')}: it has no effect.`),
    filters(params, filter),
    (list.fresh?.length > 0 || left > 0) && button(news(list, page), show, { key: 'fresh', id: 'fresh' }),
    rows.length ? h('section.card.jobs', { key: 'list' }, jobTable(rows)) : nothing(list, filter, page),
    (page > 1 || list.cursor) && pager(params, page),
    (S.ticked.size > 0 || S.all) && !readOnly() && bulkBar(rows),
  ];
}

/* Which of all that match are shown. Jobs of earlier pages may have been deleted: the last page ends with the last job. */
function range(list, count, params) {
  if (!count) return '0';
  const page = pageOf(params), begin = (page - 1) * (+params.limit || PAGE);
  const last = page > 1 && list.isExact && !list.cursor ? list.total : Math.min(begin + count, list.isExact ? list.total : Infinity);
  return `${number(Math.max(1, last - count + 1))}–${number(last)}`;
}

function news({ fresh, left, at: shownAt }, page) {
  if (page > 1) return 'The list has changed: show it again';
  const isNew = fresh.every((job) => at(job.created_at) >= shownAt - 3000);
  const words = [
    fresh.length && many(fresh.length, isNew ? 'new job' : 'new or changed job'), left.size && `${many(left.size, 'job')} no longer match`,
  ];
  return `${words.filter(Boolean).join(', ')}: ${fresh.length ? 'show' : 'update the list'}`;
}

function filters(params, filter) {
  const states = new Set((params.state || '').split(',').filter(Boolean));
  const toggle = (state) => {
    if (!states.delete(state)) states.add(state);
    refine({ state: [...states].join(',') });
  };
  const search = ({ target: { value } }) => {
    clearTimeout(typing);
    typing = setTimeout(() => refine({ q: value }, true), TYPING_MS);
  };
  const add = (event) => {
    event.preventDefault();
    const { what, text } = event.target.elements;
    if (text.value.trim()) refine({ [what.value]: text.value.trim() });
    text.value = '';
  };
  const options = (words) => words.map(([value, word]) => h('option', { value }, word));
  return h('section.card.filters',
    h('div.chips', { role: 'group', 'aria-label': 'States' }, COUNTED.map((state) =>
      button([icon(state), STATES[state][0], S.snap.counts && h('b', number(S.snap.counts[state]))], () => toggle(state),
        { class: `toggle s-${state}`, 'aria-pressed': String(states.has(state)) }))),
    h('div.row',
      h('label.grow', h('span.unseen', 'Search for words in name, tags, command and error, or for an id'),
        h('input#search', { type: 'search', placeholder: 'Search name, command, tag, error, id', value: params.q || '', oninput: search })),
      h('form.row', { onsubmit: add },
        h('select', { name: 'what', 'aria-label': 'Filter by' }, options(TYPED.map((name) => [name, FILTERS[name]]))),
        h('input.short', { name: 'text', 'aria-label': 'Filter value', placeholder: 'as 2h, video' }), h('button', 'Add filter')),
      h('label.row', h('span.soft.small', 'Sort'),
        h('select', { value: params.sort || 'updated', onchange: ({ target }) => refine({ sort: target.value }) }, options(Object.entries(SORTS))))),
    Object.keys(filter).length > 0 && h('div.chips',
      Object.entries(filter).map(([name, value]) => h('span.chip', { key: name }, `${FILTERS[name]}: ${name === 'error' ? errorBy(value) : value}`,
        button(icon('close'), () => refine({ [name]: null }), { 'aria-label': `Remove the filter ${name}` }))),
      button('Clear all', () => { location.hash = '#/jobs'; }, { class: 'tiny plain' })));
}

/* The page's names of filters instead of those of the API. */
const inWords = (text) => Object.entries(FILTERS).reduce((words, [name, label]) => words.replaceAll(`"${name}"`, label), text);

function nothing(list, filter, page) {
  const clear = link('#/jobs', 'Clear all filters');
  if (list.error) return empty('warn', inWords(list.error.message), soft(list.error.hint), clear);
  if (!list.path) return null;
  if (page > 1) return empty('info', 'No job is left on this page', button('First page', () => refine({})));
  if (!Object.keys(filter).length) return empty('logo', 'No jobs yet', soft(type("queuectl enqueue --command 'echo hello'")));
  const all = COUNTED.reduce((sum, state) => sum + (S.snap.counts?.[state] || 0), 0);
  return empty('info', 'No job matches', soft(`Of ${many(all, 'job')} in all.`), clear);
}

function pager(params, page) {
  const turn = (to, cursor, pages) => goTo(address({ ...params, page: to > 1 ? to : null, cursor }), { pages });
  const next = () => isLoaded() && turn(page + 1, S.list.cursor, [...S.pages, params.cursor || null]); // else it is the cursor of the page before
  const previous = () => {
    if (S.pages.length === page - 1) return turn(page - 1, S.pages.at(-1), S.pages.slice(0, -1));
    return act('page', async () => turn(page - 1, await cursorOf(params, page - 1), [])); // opened by its address
  };
  return h('div.row', { key: 'pages' },
    page > 1 && [button('First', () => turn(1, null, [])), button('Previous', previous)],
    S.list.cursor && button('Next', next),
    h('span.soft', `Page ${page}`));
}

const tickBox = (label, isOn, onclick, more) => h('input', { type: 'checkbox', 'aria-label': label, checked: isOn, onclick, ...more });
let last = null; // the job that was ticked last: with Shift, all from there on are

function onTick(id, { target, shiftKey }) {
  const ids = S.list.order, [from, to] = [ids.indexOf(last), ids.indexOf(id)].sort((a, b) => a - b);
  tick(shiftKey && from >= 0 ? ids.slice(from, to + 1) : [id], target.checked);
  last = id;
}

/* A heading sorts by its column; pressed again, the other way round. */
function heading([word, order], i) {
  const { sort = 'updated' } = S.view.params, isBy = order && sort.replace(/^-/, '') === order;
  const isDown = isBy && (sort[0] === '-') !== DOWN.includes(order);
  const shown = !order ? word : button([word, isBy && h('span', { 'aria-hidden': 'true' }, isDown ? '▾' : '▴')],
    () => refine({ sort: isBy && sort[0] !== '-' ? `-${order}` : order }), { class: 'plain' });
  return h(`th.c${i}`, { scope: 'col', 'aria-sort': isBy ? (isDown ? 'descending' : 'ascending') : null }, shown);
}
const DOWN = ['updated', 'attempts']; // what is largest comes first

function jobTable(rows) {
  const ids = rows.map((row) => row.id), on = ids.filter((id) => S.ticked.has(id)).length;
  const all = readOnly() ? h('span.unseen', 'Nothing')
    : tickBox('Select all on this page', S.all || on === ids.length, ({ target }) => tick(ids, target.checked),
      { indeterminate: on > 0 && on < ids.length });
  const heads = [[all], ['State', 'state'], ['Job', 'id'], ['Command'], ['Queue', 'queue'], ['Ran for'], ['Tries', 'attempts'], ['When', 'updated'],
    [h('span.unseen', 'Actions')]];
  return h('div.wide.stack', { class: S.compact ? 'compact' : '' }, table(heads.map(heading), rows.map(jobRow), 'Jobs'));
}

/* A retry by a person gives all retries again, and an interrupted attempt takes none. */
const mostAttempts = ({ state, attempts, failures, max_retries: retries }) => attempts - failures + retries + (state === 'processing' ? 0 : 1);

function why({ state, last_error: error, dead_reason: reason, run_at: start }) {
  const isLater = at(start) > now();
  if (state === 'dead' || state === 'failed') {
    return command(plainText(error || '').trim().split('\n').pop() || spelled(reason) || 'no error was noted', { class: 'bad second' });
  }
  return state === 'pending' && isLater && h('span.small.soft.second', 'starts ', when(start));
}

function ran({ state, started_at: begin, finished_at: end }) {
  if (!begin || state === 'pending' || state === 'held') return '';
  return state === 'processing' ? span(since(begin)) : end && span(Math.max(0, (at(end) - at(begin)) / 1000));
}

function jobRow(row) {
  const { id, state } = row, isOn = S.all || S.ticked.has(id);
  const action = readOnly() ? null : ACTIONS[state], word = { cancel: 'Cancel', retry: state === 'failed' ? 'Run now' : 'Retry' }[action];
  return [id, [
    readOnly() ? '' : tickBox(`Select ${id}`, isOn, (event) => onTick(id, event)),
    h('td', pill(stateOf(row)), state === 'failed' && h('p.small.soft.second', at(row.run_at) > now() ? when(row.run_at) : 'now')),
    h('th.full', { scope: 'row' }, titleOf(row), h('div.second', idOf(id), tags(row.tags))),
    h('td.full', command(row.command), why(row)),
    h('td.small', { 'data-label': 'Queue' }, link(jobsOf({ queue: row.queue }), row.queue),
      row.priority !== 0 && h('p.soft.second', `priority ${row.priority}`)),
    h('td.small', { 'data-label': 'Ran for' }, ran(row)),
    h('td.small', { 'data-label': 'Tries' }, `${row.attempts}`, !ENDED.includes(state) && h('span.soft', ` of ${mostAttempts(row)}`)),
    h('td.small', when(row.updated_at)),
    h('td', action && button(word, () => one[action](id, state),
      { class: 'tiny', 'aria-label': `${action} ${id}`, 'aria-disabled': S.busy.has(`${action} ${id}`) ? 'true' : null })),
  ], { 'data-id': id, class: isGoing(id) ? 'going' : S.list.left.has(id) ? 'left' : isOn ? 'ticked' : null }];
}

/* What is listed, as a file; and how much of each job is shown. */
function tools(params) {
  const file = (format) => link(`api/v1/export?${new URLSearchParams({ ...filterOf(params), sort: params.sort || 'updated', format })}`,
    format.toUpperCase(), { class: 'button tiny', download: '', 'aria-label': `Download these jobs as ${format.toUpperCase()}` });
  const onclick = () => {
    keep('compact', S.compact = S.compact ? '' : '1');
    render();
  };
  return h('div.row', button('Compact', onclick, { class: 'tiny', 'aria-pressed': String(!!S.compact) }), file('csv'), file('json'));
}

function bulkBar(rows) {
  const { list } = S, isPage = rows.every((row) => S.ticked.has(row.id)) && (list.total > rows.length || !list.isExact);
  const does = (action) => () => act('bulk', async () => doAll(await chosen(action)));
  return h('div.card.bulk.row', { key: 'bulk', role: 'group', 'aria-label': 'Selected jobs' },
    h('b', S.all ? `All ${total(list)} matching` : `${number(S.ticked.size)} selected`),
    isPage && !S.all && small(`Select all ${total(list)} that match`, () => {
      S.all = true;
      render();
    }),
    button('Clear', () => {
      untick();
      render();
    }, { class: 'tiny plain' }),
    h('span.grow'),
    button('Retry', does('retry')), button('Cancel', does('cancel')), button('Priority', does('edit')),
    button('Delete', does('delete'), { class: 'danger' }));
}
