/* The forms that say what is to be run: a new job, and one that is changed. */
import { many, plainText } from './escape.js';
import { keepDraft, readOnly, S } from './state.js';
import { dialogOpen, h } from './dom.js';
import { banner, copier, soft, toast } from './components.js';
import { jobOrNull, Trouble } from './server.js';
import { form } from './dialog.js';
import { write } from './session.js';

const UNITS = { s: 1, m: 60, min: 60, h: 3600, d: 86400 };
const FIELDS = [
  { name: 'command', label: 'Command', type: 'area', required: true, whole: true, hint: 'for /bin/sh' },
  { name: 'each', label: 'Each line is a job of its own', type: 'checkbox', whole: true, isHidden: (values) => lines(values.command).length < 2 },
  { name: 'name', label: 'Name' },
  { name: 'priority', label: 'Priority', hint: 'higher runs first', inputmode: 'numeric', placeholder: '0' },
  { name: 'max_retries', label: 'Retries', hint: 'after the first attempt', inputmode: 'numeric', isMore: true },
  { name: 'timeout', label: 'Time limit', hint: 'as 90, 10m or 2h; 0 is none', isMore: true },
  { name: 'memory', label: 'Memory limit', hint: 'as 500M or 4G; empty: none', isMore: true },
  { name: 'run_at', label: 'Not before', type: 'datetime-local', isMore: true },
  { name: 'queue', label: 'Queue', placeholder: 'default', isMore: true },
  { name: 'tags', label: 'Tags', hint: 'with commas between', isMore: true },
  { name: 'unique_key', label: 'Unique key', hint: 'refused while another job has it', isMore: true },
  { name: 'after', label: 'After', hint: 'ids of jobs that have to end first, with commas between', isMore: true },
  { name: 'after_policy', label: 'After policy', hint: 'how they have to end', options: ['success', 'any', 'failure'], isMore: true,
    isHidden: (values) => !values.after.trim() },
  { name: 'lock', label: 'Lock', hint: 'one job at a time has it: db, or db:3 for three', isMore: true },
  { name: 'needs', label: 'Needs', hint: 'units of resources, as gpu=1, licence=2', isMore: true },
  { name: 'weight', label: 'Weight', hint: 'its share of the limits', inputmode: 'numeric', placeholder: '1', isMore: true },
  { name: 'cwd', label: 'Directory', hint: 'an absolute path; empty: the home directory', whole: true, isMore: true },
  { name: 'env', label: 'Environment', type: 'area', hint: 'NAME=value, one a line', whole: true, rows: 2, isMore: true },
];

const COPIED = FIELDS.map((field) => field.name).filter((name) => !['each', 'run_at', 'unique_key', 'env'].includes(name));
const lines = (text) => text.split('\n').filter((line) => line.trim());
const text = (typed) => typed.trim();
const list = (typed) => typed.split(',').map(text).filter(Boolean);
const numeric = (typed) => (typed.trim() === '' || Number.isNaN(+typed) ? typed.trim() : +typed);

function seconds(typed) {
  const [, n, unit = 's'] = /^([\d.]+)\s*(s|m|min|h|d)?$/.exec(typed.trim()) || [];
  return Number.isNaN(+n) ? typed.trim() : n * UNITS[unit];
}

function bytes(typed) {
  const [, n, unit] = /^([\d.]+)\s*([kmgt]?)(?:i?b)?$/i.exec(typed.trim()) || [];
  return Number.isNaN(+n) ? typed.trim() : Math.round(n * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase()));
}

/* Reads NAME=value, one a line; says which line is wrong. */
function variables(typed) {
  const made = {};
  for (const [i, line] of typed.split('\n').entries()) {
    if (!line.trim()) continue;
    const cut = line.indexOf('='), name = line.slice(0, cut).trim();
    const why = cut < 0 ? `"${line.trim()}" has no "=": type NAME=value`
      : !name ? 'there is no name before "="'
        : /^export\s/.test(name) ? 'type NAME=value without "export"'
          : /[\s\x00-\x1f\x7f]/.test(name) ? `the name "${name}" must not contain spaces`
            : Object.hasOwn(made, name) && `${name} is set twice`;
    if (why) throw new Error(`line ${i + 1}: ${why}`);
    made[name] = line.slice(cut + 1);
  }
  return made;
}

function instant(typed) {
  const at = new Date(typed);
  if (Number.isNaN(+at)) throw new Error('type a date and a time of day');
  return at.toISOString();
}

/* Reads NAME=UNITS, with commas between; NAME alone is one unit. */
const units = (typed) => Object.fromEntries(list(typed).map((pair) => {
  const [name, n = '1'] = pair.split('=').map(text);
  return [name, numeric(n)];
}));

/* How what was typed becomes the member of a job; what else is wrong is left for the server to say. */
const READ = {
  name: text, queue: text, cwd: text, unique_key: text, lock: text, priority: numeric, max_retries: numeric, weight: numeric, timeout: seconds,
  memory: bytes, run_at: instant, tags: list, after: list, needs: units, env: variables,
};

/* Reads all fields; what cannot be read is added to the errors. */
function readAll(values, read, errors) {
  return Object.fromEntries(Object.keys(values).flatMap((name) => {
    try {
      return [[name, read[name](values[name])]];
    } catch (error) {
      errors.push({ pointer: `/${name}`, detail: error.message });
      return [];
    }
  }));
}

const given = (values) => Object.fromEntries(Object.entries(values).filter(([name, typed]) => READ[name] && typed.trim()));

/* Has the server check or enqueue what was typed. Whatever is wrong is said together: what cannot be read here, and what the
   server finds in the rest. */
async function send(values, isDry) {
  const errors = [], fields = readAll(given(values), READ, errors), each = lines(values.command);
  if (fields.after && values.after_policy) fields.after_policy = values.after_policy;
  const isEmpty = !each.length, toJob = (command) => ({ command, ...fields });
  if (isEmpty && !isDry) errors.unshift({ pointer: '/command', detail: 'type the command to run' });
  const body = values.each && each.length > 1 ? each.map(toJob) : toJob(isEmpty ? 'true' : values.command);
  const isTrial = isDry || errors.length > 0;
  try {
    const made = await write('POST', `api/v1/jobs${isTrial ? '?dry_run=true' : ''}`, body);
    if (!errors.length) return isEmpty ? null : { ...made, count: [body].flat().length };
  } catch (error) {
    if (!error.errors?.length) throw error;
    errors.push(...error.errors);
  }
  throw new Trouble({ detail: errors.length > 1 ? `${errors.length} settings cannot be used` : errors[0].detail, errors }, 422);
}

/* Shows the form of a new job; keep is called with what is typed. */
function add(draft, { keep, ...more }) {
  if (readOnly() || dialogOpen()) return;
  form({
    title: 'Enqueue a job', submit: 'Enqueue', more: 'More settings', ...more,
    fields: FIELDS.map((field) => ({ ...field, value: draft[field.name] || field.options?.[0] || '' })),
    pointer: (path) => path.split('/').find((part) => part && !/^\d+$/.test(part)),
    oninput: keep,
    check: (values) => send(values, true),
    after: (found) => h('div.field', found?.warnings.map((words) => banner(words, 'warn', words)),
      h('span.small.soft', 'The same on the command line, with the PATH of your shell'),
      found?.command_line ? h('div.row', h('pre.code.grow', found.command_line), copier(found.command_line, 'Copy the command line'))
        : h('pre.code', found ? `${found.count} jobs` : 'queuectl enqueue …')),
    async onsubmit(values) {
      const { ids, refused, warnings } = await send(values, false);
      keep?.({});
      const bad = refused.length ? `; ${many(refused.length, 'job')} refused: ${refused[0].detail}` : '';
      const notes = [bad, ...warnings.map((words) => `; ${words}`)].join('');
      toast(`Queued ${ids.length === 1 ? ids[0] : many(ids.length, 'job')}${notes}`, ids.length === 1 ? { hash: `#/jobs/${ids[0]}` } : {});
      S.list.take = true;
    },
  });
}

export const enqueue = () => add(keepDraft(), { keep: keepDraft });

/* A new job like another one: with everything that the form has, but for the id, the time, the unique key and variables. */
export async function duplicate(id) {
  const job = await jobOrNull(id);
  if (!job) return toast(`${id} no longer exists`, { kind: 'error' });
  const joined = (value) => (value || []).join(', ');
  const names = Object.keys(job.env || {}).filter((name) => name !== 'PATH');
  const needs = joined(Object.entries(job.needs || {}).map((pair) => pair.join('=')));
  const like = { ...job, tags: joined(job.tags), after: joined(job.after), needs };
  const draft = Object.fromEntries(COPIED.map((name) => [name, like[name] == null ? '' : String(like[name])]));
  return add(draft, {
    title: `A new job like ${id}`,
    intro: names.length > 0 && soft(`The page has no values of variables: give ${names.join(', ')} again where the command needs them`),
  });
}

export async function edit(id, isRetry) {
  const job = await jobOrNull(id);
  if (!job) return toast(`${id} no longer exists`, { kind: 'error' });
  const old = {
    command: job.argv ? job.argv.join('\n') : job.command, priority: String(job.priority), max_retries: String(job.max_retries ?? ''),
    timeout: String(job.timeout ?? ''), cwd: job.cwd || '', name: job.name || '', queue: job.queue, tags: job.tags.join(', '),
  };
  const read = { ...READ, cwd: (typed) => typed, command: (typed) => (job.argv ? typed.split('\n') : typed) };
  return form({
    title: isRetry ? 'Edit and retry' : 'Edit the job', submit: isRetry ? 'Retry with these' : 'Save',
    intro: soft('Job ', id, job.last_error ? [', which failed with: ', h('code', plainText(job.last_error))] : ''),
    fields: [
      { name: 'command', label: job.argv ? 'Program and arguments, one a line' : 'Command', type: 'area', rows: 5, required: true, whole: true },
      { name: 'priority', label: 'Priority' },
      { name: 'max_retries', label: 'Retries', hint: `empty: as configured (${job.max_retries_in_force})` },
      { name: 'timeout', label: 'Time limit', hint: 'empty: as configured' },
      { name: 'cwd', label: 'Directory' },
      { name: 'name', label: 'Name' },
      { name: 'queue', label: 'Queue' },
      { name: 'tags', label: 'Tags', hint: 'with commas between' },
    ].map((field) => ({ ...field, value: old[field.name] })),
    async onsubmit(values) {
      const changed = Object.entries(values).filter(([name, typed]) => typed !== old[name]);
      const value = (name, typed) => (name !== 'command' && typed.trim() === '' ? null : read[name](typed));
      const set = Object.fromEntries(changed.map(([name, typed]) => [name === 'command' && job.argv ? 'argv' : name, value(name, typed)]));
      if (isRetry || changed.length) await write('POST', `api/v1/jobs/${id}/${isRetry ? 'retry' : 'edit'}`, changed.length ? { set } : {});
      toast(isRetry ? `${id} is queued again` : `${id} is saved`);
    },
  });
}
