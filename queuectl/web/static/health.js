/* Health: the checks that /healthz makes, each with its cure. */
import { S } from './state.js';
import { h } from './dom.js';
import { badge, soft, table, type } from './components.js';

const WORDS = { pass: ['completed', 'OK'], warn: ['warn', 'Needs attention'], fail: ['dead', 'Failing'] };
const verdict = (status) => badge(status, ...WORDS[status]);

export function health() {
  const { status, checks, version } = S.snap.health;
  return [
    h('div.row.apart', h('h1', 'Health'), verdict(status)),
    h('section.card', h('div.wide.stack', table([], Object.entries(checks).map(([name, check]) => [name, [
      h('th.tight', { scope: 'row' }, name.replaceAll('_', ' ')),
      h('td.tight', verdict(check.status)),
      h('td.full', check.detail, check.hint && [' ', type(check.hint)])]]), 'Checks'))),
    soft(`QueueCTL ${version}. For monitors: /healthz. For Prometheus: /metrics.`),
  ];
}
