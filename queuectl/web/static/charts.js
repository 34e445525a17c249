/* Charts as inline SVG, each with its text and its table. */
import { at, many, number, span } from './escape.js';
import { jobsOf, keep, refresh, render, S } from './state.js';
import { h } from './dom.js';
import { button, link, soft, table } from './components.js';

const LEFT = 40, WIDE = 600, TOP = 10, FLOOR = 150, HIGH = FLOOR - TOP; // of the drawing, in its own units
const STEPS = { '1h': 60, '24h': 600, '7d': 3600 }; // s of a bucket
const ENDED = 'completed,failed,dead';
const NAMES = { '1h': 'hour', '24h': '24 hours', '7d': '7 days' };
const ENDS = { completed: 'done', retried: 'failed, to be retried', dead: 'dead' };
const FILLS = { completed: 'completed', retried: 'failed', dead: 'dead' };
const TIMES = { wait_p50: 'l-wait', wait_p95: 'l-wait.l-p95', run_p50: 'l-run', run_p95: 'l-run.l-p95' };

const clock = (iso) => new Date(at(iso)).toLocaleString('en-GB',
  { weekday: S.window === '7d' ? 'short' : undefined, hour: '2-digit', minute: '2-digit' });
const ended = (bucket) => bucket.completed + bucket.retried + bucket.dead;

const FEWEST = 10; // buckets of a chart

/* From the first in which something happened on. */
function begun(buckets) {
  const first = buckets.findIndex(isUsed);
  return buckets.slice(first < 0 ? 0 : Math.min(first, Math.max(0, buckets.length - FEWEST)));
}
const isUsed = (bucket) => bucket.enqueued || bucket.run_p50 != null || ended(bucket);

/* The next of 1, 2, 5, 10, 20 …: an axis ends with a round number, and its half is one too. */
function round(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, n / 2))), half = [1, 2, 5, 10].find((each) => each * power >= n / 2) * power;
  return 2 * half;
}

/* The jobs that ended in a bucket. */
const jobsIn = (bucket) => jobsOf({ state: ENDED, since: bucket.at, until: new Date(at(bucket.at) + STEPS[S.stats.window] * 1000).toISOString() });

/* A drawing over time: ticks are [word, y], words(bucket) what is shown of one at the pointer. */
function plot(buckets, ticks, drawn, words) {
  const wide = WIDE / buckets.length, step = Math.ceil(buckets.length / 4);
  return h('svg.chart', { viewBox: '0 0 642 170', 'aria-hidden': 'true' },
    ticks.map(([word, y]) => [h('path.grid', { d: `M${LEFT} ${y}h${WIDE}` }), h('text', { x: LEFT - 4, y: y + 4, 'text-anchor': 'end' }, word)]),
    drawn,
    buckets.map((bucket, i) => [
      i % step === 0 && h('text', { x: i * wide + LEFT, y: 167 }, clock(bucket.at)),
      h('rect.hit', { x: i * wide + LEFT, width: wide, y: 5, height: 147, onclick: () => { location.hash = jobsIn(bucket); } },
        h('title', `${clock(bucket.at)}: ${words(bucket)}`))]));
}

const inWords = (it) => `${number(it.completed)} done, ${many(it.failed_attempts, 'failed attempt')}, ${number(it.dead)} dead`;

const failed = (it) => `${many(it.failed_attempts, 'attempt')} failed, ${many(it.dead, 'job')} died.`;

function bars(buckets) {
  const most = round(Math.max(...buckets.map(ended))), wide = WIDE / buckets.length;
  const bar = (bucket, i) => {
    let y = FLOOR;
    return Object.keys(ENDS).map((end) => {
      const height = bucket[end] / most * HIGH;
      y -= height;
      return height > 0 && h('rect', { fill: `url(#p-${FILLS[end]})`, x: i * wide + LEFT, width: Math.max(1, wide - 1), y, height });
    });
  };
  const ticks = [0, most / 2, most].map((n) => [number(n), FLOOR - n / most * HIGH]);
  return plot(buckets, ticks, buckets.map(bar), inWords);
}

/* On a logarithmic scale: a wait of 10 ms and one of an hour are both to be seen. */
function curves(buckets) {
  const all = buckets.flatMap((bucket) => Object.keys(TIMES).map((name) => bucket[name])).filter((s) => s > 0);
  const low = Math.floor(Math.log10(Math.max(0.001, Math.min(...all, 0.1)))), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all, 1))));
  const y = (s) => FLOOR - (Math.log10(Math.max(s, 10 ** low)) - low) / (high - low) * HIGH;
  const wide = WIDE / buckets.length;
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map((s) => [s < 100 ? span(s) : `${number(s)} s`, y(s)]);
  const points = (name) => buckets.map((bucket, i) => {
    if (bucket[name] == null) return '';
    const isJoined = i > 0 && buckets[i - 1][name] != null;
    return `${isJoined ? 'L' : 'M'}${((i + 0.5) * wide + LEFT).toFixed(1)} ${y(bucket[name]).toFixed(1)}${isJoined ? '' : 'h.1'}`;
  });
  const drawn = Object.entries(TIMES).map(([name, kind]) => h(`path.l.${kind}`, { d: points(name).join('') }));
  return plot(buckets, ticks, drawn, (b) => (b.run_p50 == null ? 'nothing ran'
    : `waited ${span(b.wait_p50 || 0)} (95 %: ${span(b.wait_p95 || 0)}), ran ${span(b.run_p50)} (95 %: ${span(b.run_p95)})`));
}

const legend = (sample, word) => h('span', h('svg', { viewBox: '0 0 20 8', 'aria-hidden': 'true' }, sample), word);
const block = ([end, word]) => legend(h('rect', { fill: `url(#p-${FILLS[end]})`, width: 20, height: 8 }), word);
const line = (kind, word) => legend(h(`path.l.${kind}`, { d: 'M1 4h18' }), word);

function chart(title, summary, drawn, legends, heads, rows) {
  const ontoggle = ({ target }) => {
    S.tables[target.open ? 'add' : 'delete'](title);
    render();
  };
  return h('section.card', h('h2', title), soft(summary), drawn, h('div.legend', legends),
    h('details', { ontoggle }, h('summary', 'Show as table'), S.tables.has(title) && h('div.scroll', table(['From', ...heads], rows, title))));
}

export function charts({ window, totals, buckets: known }) {
  const name = NAMES[window], buckets = begun(known), some = buckets.filter(isUsed);
  const rows = (cells) => some.map((bucket) => [bucket.at, [link(jobsIn(bucket), clock(bucket.at)), ...cells(bucket)]]);
  const times = (half, most) => (half == null ? 'not measured' : `${span(half)}, 95 % within ${span(most)}`);
  const pick = (key) => button(key, () => {
    keep('window', S.window = key);
    refresh();
  }, { 'aria-pressed': String(S.window === key), class: 'tiny' });
  return [
    h('div.row.apart', h('h2', 'Activity'), h('div.segments', { role: 'group', 'aria-label': 'Window' }, Object.keys(NAMES).map(pick))),
    h('div.halves',
      chart('Throughput', `Completed in the last ${name}: ${number(totals.completed)}. ${failed(totals)}`,
        bars(buckets), Object.entries(ENDS).map(block), ['Enqueued', 'Done', 'Failed attempts', 'Dead'],
        rows((b) => [b.enqueued, b.completed, b.failed_attempts, b.dead].map(number))),
      chart('Waiting and running',
        `Half of the jobs waited ${times(totals.wait_p50, totals.wait_p95)}; they ran ${times(totals.run_p50, totals.run_p95)}.`,
        curves(buckets), [line('l-wait', 'wait, median'), line('l-wait.l-p95', '95 %'), line('l-run', 'run, median'), line('l-run.l-p95', '95 %')],
        ['Wait', '95 %', 'Run', '95 %'], rows((b) => Object.keys(TIMES).map((time) => (b[time] == null ? '' : span(b[time])))))),
  ];
}
