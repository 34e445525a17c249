/* Dialogs: each has its own small state, which no refresh touches. */
import { refresh, S } from './state.js';
import { dialogOpen, h, patch } from './dom.js';
import { button, plain, say, toast } from './components.js';
import { SILENCE, Trouble } from './server.js';

const isFilled = ({ value, options }) => value && value !== options?.[0];
const PAUSE_MS = 300; // after a key, before what was typed is checked

/* Shows a form. Options: title, submit (words), intro, isDanger, isFirm (it cannot be left), fields, more (the summary above
   fields that are isMore), after(found, values), oninput(values), check(values) which returns what was found or throws,
   onsubmit(values), onclose(isDone), pointer(text) which names the field that a problem points at. */
export function form(options) {
  const { fields = [], pointer = (path) => path.split('/').pop() } = options;
  const dialog = document.createElement('dialog');
  const state = { errors: {}, trouble: null, isBusy: false, found: null };
  let timer, turn = 0;

  const values = () => Object.fromEntries(fields.map(({ name, type }) => {
    const node = dialog.querySelector(`[name=${name}]`);
    return [name, !node ? '' : type === 'checkbox' ? node.checked : node.value];
  }));

  const blame = (error) => {
    const told = ({ pointer: path, detail, hint }) => {
      const { name, label } = fields.find((each) => each.name === pointer(path)) || {};
      return [pointer(path), `${name ? detail.replaceAll(`"${name}"`, label) : detail}${hint ? ` (${hint})` : ''}`];
    };
    Object.assign(state, { trouble: error, found: null, errors: Object.fromEntries((error.errors || []).map(told)) });
  };

  const check = async () => {
    const mine = turn;
    try {
      const found = await options.check(values());
      if (mine === turn) Object.assign(state, { errors: {}, trouble: null, found });
    } catch (error) {
      if (mine === turn) blame(error);
    }
    show();
  };

  const watch = () => {
    if (options.oninput) options.oninput(values());
    clearTimeout(timer);
    turn++;
    if (options.check) timer = setTimeout(check, PAUSE_MS);
    show();
  };

  const submit = async (event) => {
    event.preventDefault();
    if (state.isBusy) return;
    clearTimeout(timer);
    turn++;
    state.isBusy = true;
    show();
    try {
      await options.onsubmit(values());
      state.isDone = true;
      dialog.close();
      if (S.session) refresh();
      return;
    } catch (error) {
      blame(error instanceof Trouble ? error : new Trouble({ detail: SILENCE }));
      if (!dialog.open) return void toast(state.trouble.words, { kind: 'error' }); // it was closed meanwhile
      say(state.trouble.message);
    }
    state.isBusy = false;
    show();
    dialog.querySelector('[aria-invalid]')?.focus();
  };

  const field = (each) => {
    if (each.isHidden?.(values())) return null;
    const id = `f-${each.name}`, wrong = state.errors[each.name], told = wrong || each.hint;
    const props = {
      id, name: each.name, required: each.required, oninput: watch, value: each.value, autocomplete: each.autocomplete || 'off',
      'aria-invalid': wrong ? 'true' : null, 'aria-describedby': told ? `${id}-told` : null,
    };
    const label = h('label', { for: id }, each.label), node = input(each, props);
    return h('div.field', { key: each.name, class: each.whole ? 'whole' : '' },
      each.type === 'checkbox' ? h('span.row', node, label) : [label, node],
      told && h('span.small', { id: `${id}-told`, class: wrong ? 'bad' : 'soft' }, told));
  };

  const show = () => {
    const { trouble, errors } = state, first = fields.filter((each) => !each.isMore), more = fields.filter((each) => each.isMore);
    const isLone = trouble && !fields.some((each) => errors[each.name]);
    patch(dialog, [h('form', { onsubmit: submit, novalidate: !!options.check },
      h('div.row.apart', h('h2#dialog-title', options.title), !options.isFirm && plain('close', () => dialog.close(), 'Close')),
      options.intro,
      h('div.fields', first.map(field)),
      more.length > 0 && h('details', { open: more.some((each) => errors[each.name] || isFilled(each)) || null },
        h('summary', options.more), h('div.fields', more.map(field))),
      options.after?.(state.found, values()),
      isLone && h('p.bad', trouble.words),
      h('div.row', h('span.grow'), !options.isFirm && button('Back', () => dialog.close()),
        h('button.main', { class: options.isDanger ? 'danger' : '', 'aria-disabled': state.isBusy ? 'true' : null }, options.submit)))]);
  };

  dialog.setAttribute('aria-labelledby', 'dialog-title');
  dialog.isFirm = options.isFirm;
  dialog.oncancel = (event) => { if (options.isFirm) event.preventDefault(); };
  dialog.onclose = () => {
    dialog.remove();
    options.onclose?.(state.isDone);
  };
  document.body.append(dialog);
  show();
  dialog.showModal();
  (dialog.querySelector('textarea, input, select') || dialog.querySelector('button.main')).focus();
  if (options.check) watch();
}

/* Closes the open dialog, if it may be left: its page is no longer shown. */
export function closeDialog() {
  const dialog = dialogOpen();
  if (dialog && !dialog.isFirm) dialog.close();
}

function input(field, props) {
  if (field.options) return h('select', props, field.options.map((each) => h('option', { value: each }, each)));
  if (field.type === 'area') return h('textarea', { ...props, rows: field.rows || 3, spellcheck: 'false' });
  return h('input', { ...props, type: field.type || 'text', inputmode: field.inputmode, placeholder: field.placeholder });
}
