/* Overview: is it fine, what is stuck, what runs, why did it fail. */
import { COUNTED, many, number, percent, size, span, STATES } from './escape.js';
import { jobsOf, readOnly, S, since } from './state.js';
import { h } from './dom.js';
import { badge, cell, command, empty, errorOf, icon, link, small, table, toJob, type, when } from './components.js';
import { post } from './actions.js';
import { charts, spark } from './charts.js';

export function overview() {
  const { counts, last_hour: hour, running, failures, failure_groups: groups, queues } = S.snap;
  const isNew = counts && !COUNTED.some((state) => counts[state]) && !(hour && hour.done + hour.dead + hour.failed_attempts);
  return [
    h('h1.unseen', 'Overview'),
    h('div.tiles', tiles(S.snap)),
    counts && h('ul.counts', COUNTED.map((state) => h('li', toState(state, counts[state])))),
    isNew ? guide() : S.stats && charts(S.stats),
    running.length > 0 && h('section.card.run', h('div.row.apart', h('h2', 'Running now'), counts?.processing > running.length
      && h('p.small', `The first ${running.length}. `, link(jobsOf({ state: 'processing' }), `All ${number(counts.processing)} running jobs`))),
      runTable(running)),
    counts && !isNew && h('section.card', h('div.row.apart', h('h2', 'Failures of the last 24 hours'), groups > failures.length
      && h('p.small', `The ${failures.length} most frequent of ${number(groups)} errors. `,
        link(jobsOf({ state: 'failed,dead', since: '24h' }), 'All jobs'))),
      failures.length ? failureTable(failures) : h('p.state.s-completed', icon('completed'), 'None')),
    queues.length > 0 && h('section.card',
      h('div.row.apart', h('h2', 'Queues'), !readOnly() && toggle('', S.snap.paused_at, 'all queues')), queueTable(queues)),
  ];
}

function toState(state, count) {
  const [word, means] = STATES[state];
  const props = { class: 'card count-card', title: `${state}: ${means}` };
  return link(jobsOf({ state }), [h(`span.state.s-${state}`, icon(state), word), h('b', number(count))], props);
}

function tiles(snap) {
  const { counts, health: { checks }, last_hour: hour, throughput, workers, supervisor, disk } = snap;
  const { oldest_waiting_at: oldest, dead_today: dead, supervisor_silent: silent } = snap;
  const tile = (level, hash, label, value, more, extra) =>
    link(hash, [h('span.label', label), h('span.value', value), h('span.small.soft', more), extra], { class: `card tile ${level}` });
  const isWell = checks.supervisor.status === 'pass';
  return [
    tile(checks.oldest_pending.status, jobsOf({ state: 'pending', sort: '-run_at' }), 'Oldest waiting',
      !counts ? '?' : oldest ? span(since(oldest)) : 'none', !counts ? 'not known' : checks.oldest_pending.status === 'pass' ? 'on time' : 'late'),
    tile('', jobsOf({ state: 'completed' }), 'Throughput', hour ? [+hour.per_minute.toFixed(hour.per_minute < 10 ? 1 : 0), h('small', ' /min')] : '?',
      'completed, last hour', throughput && spark(throughput)),
    tile('', jobsOf({ state: 'failed,dead' }), 'Failed attempts', hour ? number(hour.failed_attempts) : '?',
      !hour ? 'not known' : hour.dead ? `last hour; of the jobs that ended, ${percent(hour.dead / (hour.done + hour.dead))} were dead` : 'last hour'),
    tile(isWell ? checks.workers.status : checks.supervisor.status, '#/workers', 'Workers',
      [workers.filter((worker) => worker.state === 'busy').length, h('small', ` busy of ${workers.length}`)],
      silent ? 'does not answer' : !supervisor ? 'no supervisor' : supervisor.draining ? 'draining' : 'supervisor runs'),
    tile(counts?.dead ? 'fail' : '', '#/dead', 'Dead', counts ? number(counts.dead) : '?',
      !counts ? 'not known' : dead ? `${number(dead)} today` : 'none today'),
    tile(checks.disk.status, '#/health', 'Disk free', percent(disk.free_bytes / disk.total_bytes || 0), size(disk.free_bytes)),
  ];
}

const meter = (share, kind) => h('span.meter', { class: kind }, h('span', { style: { width: `${Math.min(100, share * 100)}%` } }));

function elapsed({ started_at: started, timeout }) {
  const s = started ? since(started) : 0;
  return [span(s), timeout > 0 && [h('span.soft', ` of ${span(timeout)}`), meter(s / timeout, s / timeout > 0.8 ? 'late' : '')]];
}

const runTable = (jobs) => h('div.wide.stack', table(['Job', 'Last output', 'Time', 'Processor', 'Memory', 'Worker'], jobs.map((job) => [job.id, [
  h('th.full', { scope: 'row' }, toJob(job.id), ' ', job.name, command(job.command, { class: 'soft' })),
  h('td.mono.full', job.progress && [job.progress, ' '], job.last_line, job.progress_share != null && meter(job.progress_share)),
  cell('Time', elapsed(job)),
  cell('Processor', job.cpu_percent != null && `${job.cpu_percent.toFixed(0)} %`),
  cell('Memory', job.rss_bytes != null && size(job.rss_bytes)),
  cell('Worker', job.worker)]])));

const failureTable = (groups) => h('div.wide.stack.groups', table(['Jobs', 'Error', 'Last'], groups.map((group) => [group.fingerprint, [
  h('td.tight', link(jobsOf({ state: 'failed,dead', error: group.fingerprint }), many(group.count, 'job'))),
  h('td.full', h('span.mono.bad', errorOf(group)), command(group.command, { class: 'soft' })),
  h('td.tight', when(group.last_at))]])));

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

const guide = () => empty('logo', 'Three steps to the first job', h('ol.guide',
  h('li', 'Start workers: ', type('queuectl worker start --count 2')),
  h('li', 'Enqueue a command: ', type("queuectl enqueue --command 'echo hello'"), ' or press + Enqueue'),
  h('li', 'Watch it here, or with ', type('queuectl status'))));
