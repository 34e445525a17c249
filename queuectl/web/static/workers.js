/* Workers: what each does, and starting, restarting and stopping them. */
import { many, number, size, span } from './escape.js';
import { readOnly, S, since } from './state.js';
import { h } from './dom.js';
import { badge, button, command, empty, facts, small, soft, toast, toJob, type, when } from './components.js';
import { form } from './dialog.js';
import { post, write } from './session.js';
import { startWorkers } from './actions.js';

const KINDS = { busy: ['processing', 'processing'], idle: ['completed', 'pending'], backoff: ['failed', 'failed'], gone: ['dead', 'dead'] };

export function workers() {
  const { supervisor, supervisor_silent: silent, workers: all } = S.snap;
  return [
    h('div.row.apart', h('h1', 'Workers'), !readOnly() && h('div.row',
      button('Start a worker', () => startWorkers(1), { class: 'main', key: 'start' }),
      supervisor && [
        button('Restart all', () => post('workers', 'workers/restart', 'The supervisor restarts when the running jobs have ended')),
        button('Stop all', () => stop(all, false)),
        button('Stop now', () => stop(all, true), { class: 'danger' })])),
    supervisor ? about(supervisor) : silent ? empty('warn', `The supervisor (pid ${silent}) does not answer`, soft('Commands that run go on.'))
      : empty('held', 'No worker runs', soft('Jobs wait until one does. ', type('queuectl worker start --count 2'))),
    h('div.cards', all.map(card)),
  ];
}

const about = ({ version, pid, started_at: started, draining, adopted }) => h('p.soft', `Supervisor ${version}, pid ${pid}, started `, when(started),
  draining && ', draining', adopted.length > 0 && `, monitors ${many(adopted.length, 'job')} whose worker died`);

function stop(all, isNow) {
  const busy = all.filter((worker) => worker.job_id), words = isNow ? 'Stop now' : 'Stop all workers';
  form({
    title: words, submit: words, isDanger: isNow,
    intro: [
      h('p', !isNow ? 'A worker that runs a job stops when the job has ended.'
        : busy.length ? 'These commands, and those that start meanwhile, are terminated; their jobs are queued again:'
          : 'No command runs now. Those that start meanwhile are terminated; their jobs are queued again.'),
      busy.length > 0 && h('ul', busy.map((worker) => h('li', h('code', worker.job_id), ' ', worker.command)))],
    onsubmit: async () => {
      const made = await write('POST', 'api/v1/workers/stop', { now: isNow });
      toast(made.workers.length ? `Stopping ${made.workers.join(', ')}` : 'No worker runs');
    },
  });
}

function card(worker) {
  const { name, job_id: job, restarts } = worker, [kind, sign] = KINDS[worker.state] || ['held', 'held'];
  const later = job ? ' when its job has ended' : '';
  const does = (word, verb, words) =>
    small(word, () => post(`${verb} ${name}`, `workers/${verb}`, `${name} ${words}${later}`, { id: name }), `${word} ${name}`);
  return h('article.card', { key: name },
    h('div.row.apart', h('h2', name), badge(kind, sign, worker.state)),
    facts([
      ['Job', job && [toJob(job), ' ', command(worker.command, { class: 'soft' })]],
      ['For', worker.job_since && span(since(worker.job_since))],
      ['Done', `${number(worker.done)}, ${number(worker.failed_attempts)} failed attempts`],
      ['Uses', worker.rss_bytes != null && `${(worker.cpu_percent || 0).toFixed(0)} % processor, ${size(worker.rss_bytes)}`],
      ['Process', worker.pid && [`${worker.pid}, started `, when(worker.started_at), restarts > 0 && `, replaced ${many(restarts, 'time')}`]]]),
    !readOnly() && h('div.row', does('Stop', 'stop', 'stops'), does('Restart', 'restart', 'is replaced')));
}
