/* Overview, in the order of the questions: is it fine, how far is it, what runs, what failed, how did it go. */
import { at, COUNTED, many, number, percent, size, span, STATES } from './escape.js';
import { jobsOf, now, readOnly, S, since } from './state.js';
import { h } from './dom.js';
import { badge, banner, button, cell, command, empty, errorOf, icon, link, meter, small, table, titleOf, type, when } from './components.js';
import { act, post } from './session.js';
import { bulk, doAll, select } from './actions.js';
import { charts } from './charts.js';

const RUNNING = 8;
const FAILED = 'failed,dead';

export function overview() {
  const { attention, counts, last_hour: hour, running, failures, failure_groups: groups, queues, batches, schedules } = S.snap;
  const isNew = counts && !COUNTED.some((state) => counts[state]) && !(hour && hour.done + hour.dead + hour.failed_attempts);
  const few = running.slice(0, RUNNING), all = counts?.processing ?? running.length;
  return [
    h('h1.unseen', 'Overview'),
    counts && !isNew && !attention.length && !failures.length && banner('well', 'ok', h('b', well(S.snap))),
    h('ul.flow.card', flow(S.snap)),
    isNew && guide(),
    few.length > 0 && h('section.card.run', h('div.row.apart', h('h2', 'Running now'),
      all > few.length && h('p.small', `The ${few.length} that run longest. `, link(jobsOf({ state: 'processing' }), `All ${number(all)}`))),
      runTable(few)),
    counts && !isNew && h('section.card', h('div.row.apart', h('h2', 'Failures of the last 24 hours'), groups > failures.length
      && h('p.small', `The ${failures.length} most frequent of ${number(groups)} errors. `,
        link(jobsOf({ state: FAILED, since: '24h' }), 'All jobs'))),
      failures.length ? failureTable(failures) : h('p.state.s-completed', icon('completed'), 'None')),
    batches.length > 0 && h('section.card', h('h2', 'Batches'), batchTable(batches)),
    !isNew && S.stats && charts(S.stats),
    queues.length > 0 && h('section.card',
      h('div.row.apart', h('h2', 'Queues'), !readOnly() && toggle('', S.snap.paused_at, 'all queues')), queueTable(queues)),
    schedules.length > 0 && h('section.card', h('h2', 'Schedules'), scheduleTable(schedules), nextDay(schedules)),
  ];
}

const perMinute = ({ per_minute: n }) => `${+n.toFixed(n < 10 ? 1 : 0)} /min`;
const well = ({ counts, last_hour: hour }) => (counts.processing || counts.pending
  ? `All is well: ${many(counts.processing, 'job')} running, ${number(counts.pending)} waiting` : 'All is well: no job waits')
  + (hour?.done ? `, ${perMinute(hour)} completed in the last hour` : '');

const share = ({ dead, done }) => percent(dead / (done + dead));

/* One bar of all states, with what else is asked about each: how long, how fast, by how many. */
function flow(snap) {
  const { counts, health: { checks }, last_hour: hour, workers, supervisor, supervisor_silent: silent } = snap;
  const { oldest_waiting_at: oldest, dead_today: dead } = snap;
  const busy = workers.filter((worker) => worker.state === 'busy').length;
  const isWell = checks.supervisor.status === 'pass', isLate = checks.oldest_pending.status !== 'pass';
  const more = {
    pending: oldest && [`oldest ${span(since(oldest))}`, isLate ? 'warn' : ''],
    processing: [silent ? 'supervisor does not answer' : !supervisor ? 'no supervisor' : `${busy} of ${many(workers.length, 'worker')}${
      supervisor.draining ? ', draining' : ''}`, isWell ? checks.workers.status : checks.supervisor.status],
    completed: hour?.done > 0 && [perMinute(hour), ''],
    failed: hour?.failed_attempts > 0 && [`${number(hour.failed_attempts)} failed in 1 h`, ''],
    dead: dead > 0 && [`${number(dead)} today${hour?.dead ? `, ${share(hour)} in 1 h` : ''}`, ''],
  };
  return ['pending', 'held', 'processing', 'completed', 'failed', 'dead', 'cancelled'].map((state) => {
    const [word, means] = STATES[state], n = counts?.[state], [words, level] = more[state] || [];
    const isGrave = n > 0 && (state === 'dead' || state === 'failed');
    return h('li', { key: state }, link(jobsOf({ state }), [
      h(`span.state.s-${state}`, icon(state), word), h('b', { class: isGrave ? `s-${state}` : '' }, n == null ? '?' : number(n)),
      words && h('span.small', { class: level === 'warn' || level === 'fail' ? `s-${level}` : 'soft' }, words)],
    { title: `${state}: ${means}`, class: 'part' }));
  });
}

function elapsed({ started_at: started, timeout }) {
  const s = started ? since(started) : 0;
  return [span(s), timeout > 0 && [h('span.soft', ` of ${span(timeout)}`), meter(s / timeout, s / timeout > 0.8 ? 'late' : '')]];
}

const runTable = (jobs) => h('div.wide.stack', table(['Job', 'Last output', 'Time', 'Processor', 'Memory', 'Worker'], jobs.map((job) => [job.id, [
  h('th.full', { scope: 'row' }, titleOf(job), command(job.command, { class: 'soft' })),
  h('td.mono.full', job.progress && [job.progress, ' '], job.last_line, job.progress_share != null && meter(job.progress_share)),
  cell('Time', elapsed(job)),
  cell('Processor', job.cpu_percent != null && `${job.cpu_percent.toFixed(0)} %`),
  cell('Memory', job.rss_bytes != null && size(job.rss_bytes)),
  cell('Worker', job.worker)]])));

const failureTable = (groups) => h('div.wide.stack.groups', table(['Jobs', 'Error', 'Last', ...(readOnly() ? [] : [h('span.unseen', 'Retry')])],
  groups.map((group) => [group.fingerprint, [
    h('td.tight', link(jobsOf({ state: FAILED, error: group.fingerprint }), many(group.count, 'job'))),
    h('td.full', h('span.mono.bad', errorOf(group)), command(group.command, { class: 'soft' })),
    h('td.tight', when(group.last_at)),
    ...(readOnly() ? [] : [h('td', h('div.row', again(group)))])]])));

/* Retries one job as a trial, or all of a group of failures. */
export function again(group) {
  const { fingerprint, count } = group, key = `again ${fingerprint}`, which = { filter: { state: FAILED, error: fingerprint } };
  const busy = { class: 'tiny', 'aria-disabled': S.busy.has(key) ? 'true' : null };
  const does = (limit) => () => act(key, async () => {
    const target = await select('retry', which);
    return limit && target.matched ? bulk(target, { limit }) : doAll(target);
  });
  return [button(count > 1 ? 'Retry 1' : 'Retry', does(1), busy), count > 1 && button(`Retry all ${number(count)}`, does(0), busy)];
}

/* Pauses or resumes a queue, or with '' all of them. */
function toggle(name, isPaused, what) {
  const verb = isPaused ? 'resume' : 'pause', word = isPaused ? 'Resume' : 'Pause';
  const said = isPaused ? `Jobs of ${what} start again` : `No job of ${what} is started. Jobs that run go on`;
  return small(name ? word : `${word} all`, () => post(`queue ${name}`, `queues/${name && `${name}/`}${verb}`, said), `${word} ${what}`);
}

const queueRow = ({ name, waiting, running, counts, concurrency, rate, oldest_waiting_at: oldest,
  paused_at: paused, paused_until: until }) => [name, [
  h('th', { scope: 'row' }, link(jobsOf({ queue: name }), name),
    paused && [' ', badge('held', 'held', 'paused', `since ${paused}${until ? ` until ${until}` : ''}`)]),
  cell('Waiting', number(waiting)), cell('Oldest', oldest && when(oldest)),
  cell('Running', number(running), concurrency && h('span.soft', ` of ${number(concurrency)}`)),
  cell('Rate', rate), cell('Dead', number(counts.dead)),
  ...(readOnly() ? [] : [h('td.tight', toggle(name, paused, `queue ${name}`))])]];

const queueTable = (queues) => h('div.wide.stack.queues',
  table(['Queue', 'Waiting', 'Oldest', 'Running', 'Rate', 'Dead', ...(readOnly() ? [] : [h('th', h('span.unseen', 'Pause'))])],
    queues.map(queueRow)));

const batchTable = (batches) => h('div.wide.stack.batches', table(['Batch', 'Progress', 'Jobs', 'Running', 'Waiting', 'Dead'],
  batches.map(({ name, jobs, ended, progress, counts }) => [name, [
    h('th', { scope: 'row' }, link(jobsOf({ batch: name }), name)),
    cell('Progress', percent(Math.floor(progress * 100) / 100), meter(progress)), cell('Jobs', `${number(ended)} of ${number(jobs)}`),
    cell('Running', number(counts.processing)), cell('Waiting', number(counts.pending + counts.held + counts.failed)),
    cell('Dead', counts.dead > 0 && link(jobsOf({ batch: name, state: 'dead' }), number(counts.dead)))]])));

const press = (name, word, said) => small(word, () => post(`schedule ${name}`,
  `schedules/${encodeURIComponent(name)}/${word.split(' ')[0].toLowerCase()}`, said), `${word} schedule ${name}`);

const scheduleRow = (row) => [row.name, [
  h('th.full', { scope: 'row' }, link(jobsOf({ tag: `schedule:${row.name}` }), row.name),
    row.paused_at && [' ', badge('held', 'held', 'paused', `since ${row.paused_at}`)],
    row.error ? h('div.bad', row.error) : command(row.command, { class: 'soft' })),
  cell('When', h('span.mono', row.cron || `every ${row.every}`), row.timezone && h('span.soft', ` ${row.timezone}`)),
  cell('Next', row.next.length > 0 && when(row.next[0])),
  cell('Last', row.last_slot && [link(`#/jobs/${encodeURIComponent(row.last_job)}`, row.last_state || 'deleted'), ' ', when(row.last_slot)]),
  cell('Missed', row.missed + row.skipped > 0 && number(row.missed + row.skipped)),
  ...(readOnly() ? [] : [h('td.tight', !row.error && [press(row.name, 'Run now', `The job of ${row.name} was added`), ' ',
    row.paused_at ? press(row.name, 'Resume', `${row.name} adds jobs again, from its next slot on`)
      : press(row.name, 'Pause', `${row.name} adds no jobs until it is resumed`)])])]];

const scheduleTable = (rows) => h('div.wide.stack.schedules',
  table(['Schedule', 'When', 'Next', 'Last', 'Missed', ...(readOnly() ? [] : [h('th', h('span.unseen', 'Actions'))])], rows.map(scheduleRow)));

function nextDay(rows) {
  const soon = rows.flatMap(({ name, next }) => next.map((slot) => [slot, name])).filter(([slot]) => at(slot) - now() < 864e5).sort().slice(0, 10);
  return soon.length > 0 && h('p.small', h('b', 'Next 24 hours: '), soon.map(([slot, name], n) => [n > 0 && ', ', name, ' ', when(slot)]));
}

const guide = () => empty('logo', 'Three steps to the first job', h('ol.guide',
  h('li', 'Start workers: ', type('queuectl worker start --count 2')),
  h('li', 'Enqueue a command: ', type("queuectl enqueue --command 'echo hello'"), ' or press + Enqueue'),
  h('li', 'Watch it here, or with ', type('queuectl status'))));
