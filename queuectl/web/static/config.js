/* Settings: value and where it comes from, with what changes it. */
import { readOnly, S } from './state.js';
import { h } from './dom.js';
import { banner, cell, small, soft, table, toast } from './components.js';
import { form } from './dialog.js';
import { act, write } from './session.js';

export function config() {
  if (!S.config) return [h('h1', 'Config'), soft('Loading …')];
  const { path, problem, settings } = S.config;
  return [
    h('div.row.apart', h('h1', 'Config'), h('code.soft', path)),
    problem && banner('problem', 'error', `${problem}. Until it is repaired, the defaults apply.`),
    h('section.card', h('div.wide.stack', table(['Setting', 'Value', 'From', h('span.unseen', 'Change')], settings.map((each) => [each.name, [
      h('th.full', { scope: 'row' }, h('code', each.name), soft(each.help)),
      h('td.mono', { 'data-label': 'Value' }, each.spelled || 'none'),
      h('td.small', { 'data-label': 'From' }, each.origin),
      cell(null, !readOnly() && h('div.row', small('Edit', () => change(each), `Edit ${each.name}`),
        each.origin.startsWith('config.yaml') && small('Reset', () => reset(each), `Reset ${each.name}`)))]])))),
  ];
}

const change = (setting) => form({
  title: setting.name, submit: 'Save', intro: soft(setting.help), pointer: () => 'value',
  fields: [{
    name: 'value', label: `Value${setting.unit ? ` (${setting.unit})` : ''}`, value: setting.spelled,
    options: setting.choices.length ? setting.choices : null, whole: true, hint: `must be ${setting.expected}`,
  }],
  onsubmit: async ({ value }) => {
    const made = await write('PUT', `api/v1/config/${setting.name}`, { value });
    toast(made.overridden_by ? `Saved, but ${made.overridden_by} overrides it` : `${setting.name} is set`);
  },
});

const reset = ({ name }) => act(`unset ${name}`, async () => {
  await write('DELETE', `api/v1/config/${name}`);
  toast(`${name} has its default again`);
});
