/* Dead letters, grouped by error: retry one, then ten, then all. */
import { many, number } from './escape.js';
import { jobsOf, readOnly, render, S } from './state.js';
import { h } from './dom.js';
import { button, command, empty, errorOf, link, pill, plain, soft, toast, toJob, when } from './components.js';
import { act } from './session.js';
import { remove } from './tasks.js';
import { bulk, doAll, select } from './actions.js';
import { edit } from './enqueue.js';

const LOOKED_AT = 10; // jobs of a trial

export function dead() {
  const { groups, trials } = S;
  if (!groups) return [h('h1', 'Dead letters'), soft('Loading …')];
  return [
    h('div.row.apart', h('h1', 'Dead letters'), link(jobsOf({ state: 'dead' }), `All ${many(groups.total, 'dead job')}`)),
    trials.map(trialCard),
    groups.groups.length ? groups.groups.map(groupCard)
      : empty('completed', 'No dead jobs', soft('Jobs are moved here when they have failed and no retry is left.')),
    groups.has_more && soft(`Only the ${groups.groups.length} most frequent errors are shown.`),
  ];
}

const filterOf = (group) => ({ state: 'dead', error: group.fingerprint });
const of = (group, does) => act(`group ${group.fingerprint}`, does);
const selected = (group, action) => select(action, { filter: filterOf(group) });

/* The next ones of a selection: a trial goes on with the jobs that were counted when it began. */
async function retry(group, target, limit) {
  if (!target.matched) return toast('No job matches any more');
  const { ids, left } = await bulk(target, limit ? { limit } : {});
  S.trials = S.trials.filter((trial) => trial.group.fingerprint !== group.fingerprint);
  if (limit) S.trials.unshift({ group, target, ids, limit, left, states: {} });
  return null;
}

function trialCard(trial) {
  const { group, target, ids, left, states, limit } = trial, tally = {};
  for (const id of ids.slice(0, LOOKED_AT)) tally[states[id] || 'pending'] = (tally[states[id] || 'pending'] || 0) + 1;
  const isDone = tally.completed === Math.min(LOOKED_AT, ids.length), next = limit === 1 && left > 10 ? 10 : 0;
  const close = () => {
    S.trials = S.trials.filter((each) => each !== trial);
    render();
  };
  return h('section.card', { key: `trial ${group.fingerprint}` },
    h('div.row.apart', h('h2', `${many(ids.length, 'job')} retried`), plain('close', close, 'Close')),
    h('div.row', Object.entries(tally).map(([state, n]) => [pill(state), number(n)]), ids.length === 1 && toJob(ids[0]),
      h('span.grow.mono.soft', errorOf(group)),
      left > 0 && !readOnly() && button(next ? 'Retry 10 more' : `Retry the other ${number(left)}`, () => of(group, () => retry(group, target, next)),
        { class: isDone ? 'main' : '', 'aria-disabled': S.busy.has(`group ${group.fingerprint}`) ? 'true' : null })));
}

function groupCard(group) {
  const { count: n, id, fingerprint } = group;
  const some = (limit) => () => of(group, async () => retry(group, await selected(group, 'retry'), limit));
  const all = () => of(group, async () => doAll(await selected(group, 'retry')));
  const busy = { 'aria-disabled': S.busy.has(`group ${fingerprint}`) ? 'true' : null };
  const away = async () => {
    const target = await selected(group, 'delete');
    return target.matched > 1 ? doAll(target) : remove(target);
  };
  return h('section.card', { key: fingerprint }, h('div.row.apart',
    h('div.grow', h('h2.mono.bad', errorOf(group)), command(group.command),
      soft(link(jobsOf(filterOf(group)), many(n, 'job')), ', last ', when(group.last_at), n > 1 && [', first ', when(group.first_at)],
        ', newest ', toJob(id))),
    !readOnly() && h('div.row',
      button(n > 1 ? 'Retry 1' : 'Retry', some(1), { class: 'main', ...busy }),
      n > 10 && button('Retry 10', some(10), busy),
      n > 1 && button(`Retry all ${number(n)}`, all, busy),
      button('Edit and retry', () => edit(id, true)),
      button(n > 1 ? `Delete ${number(n)}` : 'Delete', () => of(group, away), { class: 'danger', ...busy }))));
}
