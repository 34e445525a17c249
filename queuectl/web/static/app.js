/* The page. One state (S in state.js), views that are functions of it, and a patch (dom.js) that changes only what
   differs. Here all of it comes together: the frame around the views, rendering, and what the browser tells. */
import { inert, number, span, VIEWS } from './escape.js';
import { ago, keep, now, readOnly, S, wire } from './state.js';
import { $, dialogOpen, h, patch } from './dom.js';
import { closeDialog } from './dialog.js';
import { banner, button, empty, errorOf, icon, link, notes, small, soft, type } from './components.js';
import { keepPlaces, open } from './places.js';
import { pause, refresh, route, start } from './refresh.js';
import { taskNotes } from './tasks.js';
import { startWorkers } from './actions.js';
import { enqueue } from './enqueue.js';
import { letGo } from './output.js';
import { again, overview } from './overview.js';
import { jobs } from './jobs.js';
import { job } from './job.js';
import { dead } from './dead.js';
import { workers } from './workers.js';
import { config } from './config.js';
import { health } from './health.js';
import { help, onKey } from './keys.js';

const SHOWS = { overview, jobs: () => (S.view.id ? job() : jobs()), dead, workers, config, health, missing };
const EVERY = [['1', '1 s'], ['3', '3 s'], ['10', '10 s'], ['off', 'off']];
const DEAD = 'queuectl dlq list'; // the hint about dead jobs
const COLOURS = [['auto', 'auto'], ['light', 'light'], ['dark', 'dark']];

const theme = () => { document.documentElement.dataset.theme = keep('theme') || 'auto'; };

function choice(value, known, onpick) {
  const options = known.some(([each]) => each === value) ? known : [[value, value], ...known]; // kept by hand
  return h('select', { value, onchange: ({ target }) => onpick(target.value) }, options.map(([each, word]) => h('option', { value: each }, word)));
}

function pace(every) {
  keep('every', S.every = every);
  refresh();
}

function paint(name) {
  keep('theme', name);
  theme();
}

function controls() {
  return [
    h('label.live', h('span.dot', { class: S.every !== 'off' && !S.lost ? 'on' : 'off' }), h('span.word', 'Refresh'), choice(S.every, EVERY, pace)),
    h('label', h('span.unseen', 'Colours'), choice(keep('theme') || 'auto', COLOURS, paint)),
    button('?', help, { 'aria-label': 'Keys' }),
    readOnly() ? h('span.soft.small', 'read-only') : button('+ Enqueue', enqueue, { class: 'main' }),
  ];
}

/* What stands beside the name of a view. */
function mark(name) {
  if (!S.snap) return null;
  const { counts, workers: all, health: { status } } = S.snap;
  if (name === 'dead' && counts?.dead) return h('span.count.dead', number(counts.dead));
  if (name === 'workers' && all.length) return h('span.count', `${all.filter((worker) => worker.state === 'busy').length}/${all.length}`);
  return name === 'health' && status !== 'pass' && h(`span.state.s-${status}`, icon('warn'), h('span.unseen', status));
}

function frame() {
  patch($('where'), S.snap ? [h('bdi', S.snap.hostname), ' ', h('bdi.mono', S.snap.home)] : []);
  patch($('controls'), S.session ? controls() : []);
  patch($('nav'), Object.entries(VIEWS).map(([name, word]) =>
    link(`#/${name}`, [word, mark(name)], { 'aria-current': S.view.name === name ? 'page' : null })));
}

const worst = () => S.snap.failures[0];

function cure(hint) {
  if (hint === DEAD) return [!readOnly() && worst() && again(worst()), link('#/dead', 'Show dead letters', { class: 'button tiny' })];
  return [hint?.startsWith('queuectl worker start') && !readOnly() && small('Start 2 workers', () => startWorkers(2)), hint && type(hint)];
}

function banners() {
  const made = [];
  if (S.lost) {
    const left = span(Math.max(0, Math.ceil((S.due - now()) / 1000)));
    made.push(banner('lost', 'error', h('b', `${S.lostWhy} (${ago(new Date(S.lost))}). Data is old. Trying again in ${left}.`),
      small('Try now', S.session ? refresh : start)));
  }
  if (!S.snap) return made;
  for (const { level, text, hint } of S.snap.attention) {
    const isDead = hint === DEAD;
    const most = isDead && worst() && ['. The most frequent error: ', h('code', errorOf(worst())), ` ×${number(worst().count)}`];
    if (!isDead || S.view.name === 'overview') made.push(banner(text, level, [text, most], cure(hint)));
  }
  const { available, problem, syncing } = S.snap.index;
  const why = syncing ? `The index is being built (${syncing}): jobs can be listed when it is done.`
    : 'Without the index, jobs cannot be listed; the queue itself works.';
  if (!available && !problem) made.push(banner('index', 'warn', why));
  return made;
}

function missing() {
  return [h('h1', 'No such page'), empty('info', `There is no page ${location.hash}`,
    soft('Pages: ', Object.entries(VIEWS).map(([name, word], i) => [i > 0 && ', ', link(`#/${name}`, word)])))];
}

function render() {
  const focused = document.activeElement, { name, id } = S.view;
  frame();
  letGo(id);
  const shown = S.snap && S.session ? SHOWS[name]() : h('h1', S.session ? 'Loading …' : 'QueueCTL');
  patch($('view'), [...banners(), h('div.view', { key: `${name} ${id}` }, shown)]);
  patch($('toasts'), [...taskNotes(), ...notes()]);
  document.body.classList.toggle('lost', !!S.lost);
  document.title = `${S.lost ? '⚠ ' : ''}${id ? inert(id) : VIEWS[name] || 'No such page'} · QueueCTL`;
  if (focused && focused !== document.body && !focused.isConnected && !dialogOpen()) $('view').focus({ preventScroll: true });
}

function onVisible() {
  if (document.hidden) {
    pause();
    S.tail?.stop();
    return;
  }
  if (S.session) refresh();
  else start();
  if (S.tail?.pane && !S.tail.isOver && !S.tail.isCut) S.tail.stream();
}

/* What was made of instants grows old by itself. */
function grow() {
  if (document.hidden) return;
  S.toasts = S.toasts.filter((note) => note.until > now());
  render();
}

history.scrollRestoration = 'manual'; // settle() goes back to a place when what was there is there again
wire({ render, refresh, route, start, open });
theme();
addEventListener('hashchange', () => {
  closeDialog();
  route();
});
addEventListener('keydown', onKey);
addEventListener('pagehide', keepPlaces);
document.addEventListener('visibilitychange', onVisible);
document.querySelector('.skip').onclick = (event) => {
  event.preventDefault();
  $('view').focus();
};
setInterval(grow, 1000);
if (/^#(code|token)=/.test(location.hash)) route();
else start();
