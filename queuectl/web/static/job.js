/* One job: its command, its output, what is known about it, its attempts. */
import { at, ENDED, many, plainText, size, span } from './escape.js';
import { address, jobsOf, now, readOnly, S } from './state.js';
import { h } from './dom.js';
import { button, copier, copy, empty, facts, icon, link, pill, soft, spelled, stateOf, tags, toJob, type, when } from './components.js';
import { isGoing } from './tasks.js';
import { one } from './actions.js';
import { duplicate, edit } from './enqueue.js';
import { output } from './output.js';

const OVER = ['dead', 'completed', 'cancelled'];
const RETRIES = { dead: 'Retry', cancelled: 'Retry', completed: 'Run again' }; // else: Run now
const ENDS = { completed: 'completed', failed: 'failed', died: 'dead', cancelled: 'cancelled' };

export function job() {
  const { job: it, view: { id, params } } = S;
  const title = h('h1', 'Job ', h('bdi', id));
  if (S.missing === id) {
    return [title, empty('info', S.missingWhy.message, soft('It was deleted, or it never existed.'), link('#/jobs', 'All jobs'))];
  }
  if (it?.id !== id) return [title, soft('Loading …')];
  const shown = +params.attempt || it.attempts;
  return [
    h('div.row.apart',
      h('div.row', link(S.around?.hash || '#/jobs', 'Jobs'), '/', h('h1.id', id), copier(id, 'Copy the id'), pill(stateOf(it)),
        isGoing(id) && h('b.bad', 'will be deleted')),
      h('div.row', neighbours(id), verbs(it))),
    why(it),
    h('div.job',
      h('div',
        h('section.card',
          h('div.row.apart', h('h2', 'Command'),
            h('div.row', copyButton('Copy', it.command), copyButton('Copy as queuectl command', it.command_line, hidden(it)))),
          h('pre.code', { tabindex: 0 }, it.argv ? JSON.stringify(it.argv) : it.command)),
        h('section.card', { key: `out ${id}` }, output(it, shown, +params.line))),
      h('div',
        h('section.card', h('h2', 'About'), about(it)),
        h('section.card', h('h2', 'Attempts'), it.attempt_list.length > 0 && timeline(it.attempt_list),
          it.attempt_list.length ? h('ol.attempts', it.attempt_list.map((each, i) => attempt(each, i === 0, shown))) : soft(neverRan(it))),
        h('section.card', h('details', h('summary', `History, ${many(it.history.length, 'event')}`),
          h('ol.attempts', [...it.history].reverse().map(event)))))),
  ];
}

/* The jobs before and after this one in the list from which it was opened. */
export const neighbour = (id, by) => {
  const ids = S.around?.ids || [], i = ids.indexOf(id);
  return i < 0 ? null : ids[i + by];
};
const neighbours = (id) => [[-1, 'Previous job'], [1, 'Next job']].map(([by, words]) => {
  const other = neighbour(id, by);
  const props = { key: words, class: 'button', 'aria-label': words, title: `${words}: ${other}` };
  return other && link(`#/jobs/${encodeURIComponent(other)}`, by < 0 ? '‹' : '›', props);
});

const copyButton = (words, text, more) => button([icon('copy'), words], () => copy(text, more), { class: 'tiny' });

/* What a copied command cannot have: the values of variables stay on the server. */
function hidden({ env }) {
  const names = Object.keys(env || {}).filter((name) => name !== 'PATH');
  return names.length ? `. The page has no values of variables: the command takes ${names.join(', ')} from your shell` : '';
}

function verbs({ id, state, actions }) {
  const isOver = OVER.includes(state);
  const all = {
    retry: [button(RETRIES[state] || 'Run now', () => one.retry(id, state), { class: state === 'dead' ? 'main' : '' }),
      button(isOver ? 'Edit and retry' : 'Edit', () => edit(id, isOver))],
    hold: button('Hold', () => one.hold(id)),
    release: button('Release', () => one.release(id)),
    cancel: button('Cancel', () => one.cancel(id, state)),
    delete: button('Delete', () => one.delete(id), { class: 'danger' }),
  };
  if (readOnly()) return null;
  const possible = Object.entries(all).filter(([action]) => actions.includes(action)).map(([, shown]) => shown);
  return [button('Duplicate', () => duplicate(id)), possible];
}

const misspelt = (fields) => {
  const found = Object.entries(fields).filter(([, meant]) => meant);
  return found.length > 0 && found.map(([field, meant]) => h('div', `unknown field "${field}"; did you mean "${meant}"? It has no effect`));
};

/* Why it does not run: each reason with links to the jobs that it names. */
const reason = ({ text, jobs, until, hint }) => h('div',
  spell(text, jobs), until && [', ', when(until)], hint && [' ', type(hint)]);

/* Text that ends in a list of jobs: "it comes after a (dead), b (pending)", "lock db is held: a". */
function spell(text, ids) {
  const [, head, list] = /^(it comes after |.*?: )(.*)$/.exec(ids.length ? text : '') || [null, text, ''];
  return [head, list.split(', ').map((part, i) => [i > 0 && ', ',
    ids[i] && part.startsWith(ids[i]) ? [toJob(ids[i]), part.slice(ids[i].length)] : part])];
}

/* Under the title: why it failed, what comes next, how many others did; or why it does not start. */
function why(it) {
  const { state, attempts, exit_code: code, dead_reason: reason_, fingerprint: error, waits_for: waits } = it, isDead = state === 'dead';
  const hasFailed = isDead || state === 'failed', line = plainText(it.last_error || '').trim().split('\n').pop();
  if (!hasFailed && !waits.length) return null;
  const n = S.alike?.error === error ? S.alike.total : 0, others = n > 1 ? `${many(n, 'job')} with this error` : 'jobs with this error';
  return h('section.card.why', { key: 'why', class: hasFailed ? `s-${state}` : 's-pending' },
    hasFailed && h('h2.mono', line || spelled(reason_) || 'It failed without an error message'),
    hasFailed && h('p', [
      code != null && `exit code ${code}`, spelled(reason_),
      isDead ? `no attempt follows after ${many(attempts, 'attempt')}` : `attempt ${attempts} failed`,
    ].filter(Boolean).join(' · '), error && [' · ', link(jobsOf({ state: 'failed,dead', error }), others)]),
    waits.length > 0 && h('div.row', h('b', 'Waits for'), h('div.grow', waits.map(reason))));
}

const about = (it) => facts([
  ['Name', it.name],
  ['Queue', link(jobsOf({ queue: it.queue }), it.queue)],
  ['Priority', it.priority],
  ['Tags', it.tags.length > 0 && tags(it.tags)],
  ['Schedule', it.schedule && [link(jobsOf({ tag: `schedule:${it.schedule.name}` }), it.schedule.name), ' ',
    it.schedule.slot ? when(it.schedule.slot) : 'by hand']],
  ['Batch', it.batch && link(jobsOf({ batch: it.batch }), it.batch)],
  ['Created', when(it.created_at)],
  ['Not before', at(it.run_at) > now() && when(it.run_at)],
  ['Expires', it.expires_at && when(it.expires_at)],
  ['Retries', `${Math.max(0, it.failures - (it.state === 'dead' ? 1 : 0))}${ENDED.includes(it.state) ? '' : ` of ${it.max_retries_in_force}`} used`],
  ['Time limit', it.timeout_s ? span(it.timeout_s) : 'none'],
  ['Directory', it.cwd],
  ['Unique key', it.unique_key],
  ['After', it.after && [it.after.map((id) => [toJob(id), ' ']), it.after_policy && it.after_policy !== 'success' && `(${it.after_policy})`]],
  ['Lock', it.lock],
  ['Needs', it.needs && Object.entries(it.needs).map(([name, units]) => `${name} ${units}`).join(', ')],
  ['Weight', it.weight],
  ['Input', it.stdin === 'input' ? `input/${it.id}` : it.stdin],
  ['Shell', it.shell],
  ['Nice', it.nice],
  ['Disk priority', it.ionice],
  ['Memory limit', it.memory && size(it.memory)],
  ['Processor limit', it.cpu_time && span(it.cpu_time)],
  ['On success', it.on_success && h('code', it.on_success)],
  ['On failure', it.on_failure && h('code', it.on_failure)],
  ['On death', it.on_dead && h('code', it.on_dead)],
  ['On batch done', it.on_batch_done && h('code', it.on_batch_done)],
  ['On cancel', it.on_cancel && h('code', it.on_cancel)],
  ['Progress', it.progress],
  ['Error', it.last_error && h('span.mono.bad', plainText(it.last_error))],
  ['Dead because', spelled(it.dead_reason)],
  ['Environment', it.env && Object.keys(it.env).map((name) => h('div.mono', `${name}=••••`))],
  ['Note', misspelt(it.unknown_fields)],
  ['Result', it.result_error && h('span.bad', `not valid: ${it.result_error}`)],
  ['Result', it.result != null && h('code', JSON.stringify(it.result))],
  ['File', h('code', `${it.directory}/${it.id}.json`)],
]);

/* One event of the history: what happened, when, and everything else that was recorded. */
const event = ({ event: name, at: time, ...rest }, i) => h('li', { key: i }, h('b', name.replaceAll('_', ' ')), ' ', when(time),
  h('div.mono', Object.entries(rest).map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`).join(', ')));

const neverRan = ({ state }) => (OVER.includes(state) ? 'It never started.' : 'Not started yet.');

function howItEnded(each) {
  if (!each.event) return 'runs';
  if (each.timed_out) return 'timed out';
  if (each.output_limit) return 'wrote too much';
  if (each.memory_limit) return 'out of memory';
  if (each.cpu_limit) return 'used too much processor time';
  if (each.failed_to_start) return 'did not start';
  if (each.signal) return `killed by ${each.signal}`;
  return each.exit_code != null ? `exit code ${each.exit_code}` : each.event;
}

const kindOf = ({ event }) => (event ? ENDS[event] || 'held' : 'processing');

/* The attempts on one axis: how long the job waited, ran, and waited for the next attempt. */
function timeline(newestFirst) {
  const attempts = [...newestFirst].reverse(), start = at(attempts[0].ready_at), spent = { waited: 0, ran: 0, 'waited to retry': 0 };
  const parts = attempts.flatMap((each, i) => {
    const began = at(each.started_at), ended = each.ended_at ? at(each.ended_at) : now(), next = attempts[i + 1];
    return [['waited', at(each.ready_at), began, 'f-wait'], ['ran', began, ended, `s-${kindOf(each)} f-run`],
      ['waited to retry', ended, next ? at(next.ready_at) : ended, 'f-backoff']];
  });
  for (const [what, from, to] of parts) spent[what] += Math.max(0, to - from);
  const all = Math.max(1, parts.at(-1)[2] - start);
  const shown = Object.entries(spent).filter(([, ms]) => ms > 0).map(([what, ms]) => `${what} ${span(ms / 1000)}`).join(', ');
  const place = (ms) => ms / all * 1000;
  const part = ([what, from, to, kind], i) => to > from
    && h('rect', { key: i, class: kind, x: place(from - start), width: Math.max(3, place(to - from)), y: 0, height: 10 },
      h('title', `${what} ${span((to - from) / 1000)}`));
  return shown && [
    h('svg.timeline', { viewBox: '0 0 1000 10', preserveAspectRatio: 'none', role: 'img', 'aria-label': shown }, parts.map(part)),
    soft(shown)];
}

function attempt(each, isNewest, shown) {
  const kind = kindOf(each);
  const why = [spelled(each.reason), each.error && plainText(each.error)].filter(Boolean).join(': ');
  const began = at(each.started_at), ended = each.ended_at ? at(each.ended_at) : now();
  return h(`li.s-${kind}`, { key: each.attempt }, h('span.knot', icon(kind)), h('h3', `Attempt ${each.attempt}: ${howItEnded(each)}`),
    soft(when(each.started_at), `, ran ${span((ended - began) / 1000)} after waiting ${span((began - at(each.ready_at)) / 1000)}`,
      each.worker && `, ${each.worker}`, each.cpu_s != null && `, ${span(each.cpu_s)} processor`,
      each.max_rss_bytes && `, ${size(each.max_rss_bytes)}`),
    why && h('p.mono.bad', why),
    each.leftovers && h('p.small', 'Processes left running, terminated: ',
      each.leftovers.processes.map((left) => `${left.command} (pid ${left.pid})`).join(', '),
      each.leftovers.count > each.leftovers.processes.length && ` and ${each.leftovers.count - each.leftovers.processes.length} more`,
      each.event === 'completed' && '. --leftovers leave keeps them.'),
    isNewest && at(each.retry_at) > now() && h('p.small', 'next attempt ', when(each.retry_at)),
    shown === each.attempt ? soft('output shown') : each.output_bytes == null ? soft('output removed')
      : link(address({ attempt: each.attempt }), `Output, ${size(each.output_bytes)}`, { class: 'small' }));
}
