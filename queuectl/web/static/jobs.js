/* The list of jobs: filters, a page of rows, and what can be done to those that are selected. */
import { at, COUNTED, ENDED, FILTERS, many, number, plainText, SORTS, STATES } from './escape.js';
import { address, filterOf, jobsOf, now, PAGE, readOnly, refine, refresh, render, S, tick, untick } from './state.js';
import { h } from './dom.js';
import { banner, button, command, empty, errorBy, icon, link, pill, small, soft, stateOf, table, tags, toJob, type, when } from './components.js';
import { act, chosen, doAll, isGoing, one } from './actions.js';

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
  const rows = list.order.map((id) => list.rows.get(id)), page = +params.page || 1;
  const left = list.left?.size || 0, count = rows.length - left;
  const unknown = Object.keys(params).filter((name) => !PARAMS.includes(name));
  return [
    h('div.row.apart', h('h1', 'Jobs'),
      list.total != null && h('p.soft', isLoaded() ? `${range(list, count, params)} of ${total(list)}` : 'Loading …')),
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
  const page = +params.page || 1, begin = (page - 1) * (+params.limit || PAGE);
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
      h('label.grow', h('span.unseen', 'Search in id, name and command'),
        h('input#search', { type: 'search', placeholder: 'Search id, name, command', value: params.q || '', oninput: search })),
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

function nothing(list, filter, page) {
  const clear = link('#/jobs', 'Clear all filters');
  if (list.error) return empty('warn', list.error.message, soft(list.error.hint), clear);
  if (!list.path) return null;
  if (page > 1) return empty('info', 'No job is left on this page', button('First page', () => refine({})));
  if (!Object.keys(filter).length) return empty('logo', 'No jobs yet', soft(type("queuectl enqueue --command 'echo hello'")));
  const all = COUNTED.reduce((sum, state) => sum + (S.snap.counts?.[state] || 0), 0);
  return empty('info', 'No job matches', soft(`Of ${many(all, 'job')} in all.`), clear);
}

function pager(params, page) {
  const turn = (to, cursor) => { location.hash = address({ ...params, page: to > 1 ? to : null, cursor }); };
  const next = () => {
    if (!isLoaded()) return; // the cursor is that of the page before
    S.pages[page - 1] = params.cursor || null;
    turn(page + 1, S.list.cursor);
  };
  return h('div.row', { key: 'pages' },
    page > 1 && button('First', () => turn(1)),
    page > 1 && S.pages[page - 2] !== undefined && button('Previous', () => turn(page - 1, S.pages[page - 2])),
    S.list.cursor && button('Next', next),
    h('span.soft', `Page ${page}`));
}

const tickBox = (label, isOn, ids, more) =>
  h('input', { type: 'checkbox', 'aria-label': label, checked: isOn, onchange: ({ target }) => tick(ids, target.checked), ...more });

function jobTable(rows) {
  const ids = rows.map((row) => row.id), on = ids.filter((id) => S.ticked.has(id)).length;
  const all = readOnly() ? h('span.unseen', 'Nothing')
    : tickBox('Select all on this page', S.all || on === ids.length, ids, { indeterminate: on > 0 && on < ids.length });
  const heads = [all, 'State', 'Job', 'Command', 'Attempts', 'Changed', h('span.unseen', 'Actions')];
  return h('div.wide.stack', table(heads.map((head, i) => h(`th.c${i}`, { scope: 'col' }, head)), rows.map(jobRow), 'Jobs'));
}

/* A retry by a person gives all retries again, and an interrupted attempt takes none. */
const mostAttempts = ({ state, attempts, failures, max_retries: retries }) => attempts - failures + retries + (state === 'processing' ? 0 : 1);

function jobRow(row) {
  const { id, state } = row, isOn = S.all || S.ticked.has(id), isLater = at(row.run_at) > now();
  const action = readOnly() ? null : ACTIONS[state], word = { cancel: 'Cancel', retry: state === 'failed' ? 'Run now' : 'Retry' }[action];
  return [id, [
    readOnly() ? '' : tickBox(`Select ${id}`, isOn, [id]),
    pill(stateOf(row)),
    h('th.full', { scope: 'row' }, toJob(id), h('p.small', row.name && [row.name, ' '],
      row.queue !== 'default' && [h('span.soft', 'in '), link(jobsOf({ queue: row.queue }), row.queue), ' '], tags(row.tags))),
    h('td.full', command(row.command),
      row.last_error && ['failed', 'dead'].includes(state) && command(plainText(row.last_error), { class: 'bad' }),
      (state === 'failed' || (state === 'pending' && isLater)) && h('span.small.soft', 'starts ', isLater ? when(row.run_at) : 'now')),
    h('td', { 'data-label': 'Attempts' }, `${row.attempts}`,
      !ENDED.includes(state) && h('span.soft', ` of ${mostAttempts(row)}`),
      row.priority !== 0 && h('p.small.soft', `priority ${row.priority}`)),
    h('td.small', when(row.updated_at)),
    h('td', action && button(word, () => one[action](id, state),
      { class: 'tiny', 'aria-label': `${action} ${id}`, 'aria-disabled': S.busy.has(`${action} ${id}`) ? 'true' : null })),
  ], { 'data-id': id, class: isGoing(id) ? 'going' : S.list.left.has(id) ? 'left' : isOn ? 'ticked' : null }];
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
