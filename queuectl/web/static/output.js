/* Output of an attempt: the end of the file, what is added, and what is scrolled to; never more than so many lines in the document. */
import { ENDED, many, number, size } from './escape.js';
import { address, refresh, render, S } from './state.js';
import { h } from './dom.js';
import { small, soft } from './components.js';
import { api } from './server.js';
import { draw, Terminal } from './terminal.js';

const FIRST = 200, MORE = 1000, LINES = 5000, BLOCK = 250; // lines: at first, then, kept, in an element
const AHEAD = 20, PIECE = 65536; // lines before one that is jumped to; bytes that are read on
const WAITING = 2e6; // characters before they are painted
const NEAR = 300, GUTTER = 56; // pixels: to the end of what is there; of the line numbers

const STALE = new Error('stale');
const lines = (text) => text.split('\n').length - 1;

/* Reads the output of one attempt, and paints it into a pane. */
class Tail {
  constructor(id, attempt, line) {
    Object.assign(this, { id, attempt, line, asked: line, follow: !line, isOver: false, wait: 1, blocks: [], size: 0 });
    this.begin();
  }

  /* What is still being read is not wanted any more. */
  begin() {
    this.turn = (this.turn || 0) + 1;
    Object.assign(this, { waiting: '', decoder: new TextDecoder(), terminal: new Terminal() });
  }

  url(query, what = '') { return `api/v1/jobs/${this.id}/output${what}?${new URLSearchParams({ attempt: this.attempt, ...query })}`; }

  attach(pane) {
    this.pane = pane;
    pane.onscroll = () => this.onScroll();
    pane.onclick = ({ target, offsetX }) => {
      if (target.dataset.n && offsetX < GUTTER) this.select(+target.dataset.n);
    };
    this.open();
  }

  onScroll() {
    if (!this.blocks.length || this.line) return; // on the way to a line
    const { pane } = this, below = pane.scrollHeight - pane.scrollTop - pane.clientHeight;
    const was = this.follow;
    this.follow = below < 12 && !this.isCut;
    if (was !== this.follow) render();
    if (pane.scrollTop < NEAR) this.earlier();
    if (below < NEAR) this.later();
  }

  // --- reading

  /* Returns bytes and what the server says of them. */
  async read(query) {
    const { turn } = this;
    const answer = await api('GET', this.url({ ...query, numbered: true })), bytes = new Uint8Array(await answer.arrayBuffer());
    if (turn !== this.turn) throw STALE;
    const [from, all, line] = ['from', 'size', 'line'].map((name) => +answer.headers.get(`x-queuectl-${name}`));
    this.size = all;
    return { bytes, from, all, line, isOver: answer.headers.get('x-queuectl-ended') === 'true' };
  }

  async open() {
    try {
      const { line } = this;
      const found = await this.read(line ? { line: Math.max(1, line - AHEAD), limit: PIECE } : { lines: FIRST });
      if (line && !found.bytes.length && found.all) return this.jump(null); // there are not so many lines
      this.at = found.from;
      this.first = this.number = this.base = found.line;
      this.take(found.bytes);
      this.settle(found);
    } catch (error) {
      if (error === STALE) return;
      if (error.status !== 404) return this.again(() => this.open());
      this.why = error.message;
      this.end();
    }
  }

  /* Goes on reading from the end of the file, or leaves the rest for later. */
  settle({ from, bytes, all, isOver }) {
    this.isCut = from + bytes.length < all;
    if (this.isCut) render();
    else if (isOver) this.end();
    else this.stream();
  }

  async stream() {
    this.stop();
    const { signal } = this.abort = new AbortController();
    try {
      const answer = await api('GET', this.url({ from: this.at, follow: true }), null, { signal });
      if (this.restarted(answer)) return this.stream();
      const reader = answer.body.getReader();
      this.wait = 1;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.take(value);
      }
      this.end();
      refresh();
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 503) this.poll(); // there are too many streams
      else this.again(() => this.stream());
    }
  }

  async poll() {
    const { turn } = this;
    try {
      const answer = await api('GET', this.url({ from: this.at })), bytes = new Uint8Array(await answer.arrayBuffer());
      if (turn !== this.turn) return;
      if (this.restarted(answer)) return this.poll();
      this.take(bytes);
      if (answer.headers.get('x-queuectl-ended') === 'true' && !bytes.length) return this.end();
    } catch { /* asked again all the same */ }
    this.again(() => this.poll());
  }

  /* Tells whether the file is shorter than what was read; then it is read from its new beginning. (A stream says so itself.) */
  restarted(answer) {
    if (+answer.headers.get('x-queuectl-size') >= this.at) return false;
    this.take(new TextEncoder().encode('\n--- the output was truncated: showing it from its new start ---\n'));
    this.at = 0;
    return true;
  }

  again(does) {
    if (S.tail !== this) return;
    const { turn } = this;
    setTimeout(() => { if (S.tail === this && turn === this.turn && !document.hidden) does(); }, this.wait * 1000);
    this.wait = Math.min(10, this.wait * 2);
  }

  stop() {
    this.abort?.abort();
    this.abort = null;
  }

  end() {
    this.isOver = true;
    this.abort = null;
    render();
  }

  // --- scrolling

  /* Does one thing of a kind at a time; what fails is tried again when the pane is scrolled. */
  async once(does) {
    if (this.isBusy) return;
    this.isBusy = true;
    await does().catch(() => {});
    this.isBusy = false;
  }

  earlier() {
    if (this.first > 1) this.once(async () => {
      const { bytes, line } = await this.read({ line: Math.max(1, this.first - MORE), end_line: this.first });
      const terminal = new Terminal(), { pane } = this;
      const rows = [...terminal.feed(new TextDecoder().decode(bytes)), ...terminal.rows.slice(0, -1)];
      const was = pane.scrollHeight - pane.scrollTop;
      for (let end = rows.length; end > 0; end -= BLOCK) {
        const some = rows.slice(Math.max(0, end - BLOCK), end), node = document.createElement('div'), first = line + some[0].line;
        node.append(...some.map((row) => draw(row, line + row.line)));
        pane.prepend(node);
        this.blocks.unshift({ node, first, count: some.length });
      }
      this.first = line;
      pane.scrollTop = pane.scrollHeight - was;
      while (this.blocks.length > LINES / BLOCK) this.cut();
      render();
    });
  }

  /* Removes the last lines; they are read again when they are scrolled to. */
  cut() {
    this.stop();
    const { node, first } = this.blocks.pop();
    node.remove();
    this.begin();
    Object.assign(this, { isCut: true, number: first, base: first, at: null });
  }

  later() {
    if (this.isCut) this.once(async () => {
      const found = await this.read({ ...(this.at == null ? { line: this.number } : { from: this.at }), limit: PIECE });
      this.at = found.from;
      this.take(found.bytes);
      this.settle(found);
    });
  }

  // --- painting

  take(bytes) {
    this.at += bytes.length;
    this.size = Math.max(this.size, this.at);
    this.waiting += this.decoder.decode(bytes, { stream: true });
    if (this.waiting.length > WAITING) {
      const dropped = this.waiting.slice(0, -WAITING / 2);
      this.waiting = this.waiting.slice(-WAITING / 2);
      this.base += lines(dropped);
    }
    if (!this.painting) this.painting = requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.painting = null;
    const done = this.terminal.feed(this.waiting), rows = [...done, ...this.terminal.rows];
    this.waiting = '';
    if (!rows.at(-1).runs.length && rows.at(-1).isNew) rows.pop(); // nothing is in the last line as yet
    const skipped = this.follow ? Math.max(0, rows.length - LINES) : 0;
    for (const row of rows.slice(skipped)) {
      if (row.isNew) this.append(row);
      else if (row.isChanged && row.node) draw(row);
    }
    this.trim();
    if (this.follow) this.toEnd();
    if (!this.line || !this.blocks.length) return;
    if (!this.show(this.line) && this.isCut) this.later(); // its line is further on
    else this.line = null;
  }

  /* Removes lines at the end that is further away from what is looked at. */
  trim() {
    const { pane, blocks } = this;
    while (blocks.length > LINES / BLOCK) {
      const below = pane.scrollHeight - pane.scrollTop - pane.clientHeight;
      if (!this.follow && below > pane.scrollTop) {
        this.cut();
        continue;
      }
      const { node } = blocks.shift(), { offsetHeight } = node;
      node.remove();
      if (!this.follow) pane.scrollTop -= offsetHeight;
    }
    if (blocks[0]) this.first = blocks[0].first;
  }

  append(row) {
    const own = this.base + row.line;
    this.number = own + 1;
    let last = this.blocks.at(-1);
    if (!last || last.count >= BLOCK) {
      this.blocks.push(last = { node: document.createElement('div'), first: own, count: 0 });
      this.pane.append(last.node);
    }
    last.node.append(draw(row, own));
    last.count++;
  }

  toEnd() {
    if (this.isCut) return this.jump(null);
    this.follow = true;
    this.pane.scrollTop = this.pane.scrollHeight;
  }

  // --- going to a line

  select(line) {
    this.asked = line;
    S.view.params = { attempt: `${this.attempt}`, line: `${line}` };
    history.replaceState(history.state, '', address(S.view.params));
    this.show(line);
  }

  /* Shows a line if it is in the document, and tells whether it is. */
  show(line) {
    const node = this.pane.querySelector(`.ln[data-n="${line}"]`);
    if (!node) return false;
    this.line = null;
    this.follow = false;
    this.pane.querySelector('.ln.here')?.classList.remove('here');
    node.classList.add('here');
    this.pane.scrollTop = node.offsetTop - this.pane.clientHeight / 3;
    return true;
  }

  jump(line) {
    if (line && this.show(line)) return;
    this.stop();
    for (const { node } of this.blocks) node.remove();
    Object.assign(this, { blocks: [], first: 0, line, follow: !line, isOver: false, isCut: false });
    this.begin();
    this.open();
  }

  async search(text) {
    const line = /^:(\d+)$/.exec(text);
    this.found = null;
    if (line) this.jump(Math.max(1, +line[1]));
    else if (text) {
      const { total, matches } = await (await api('GET', this.url({ q: text }, '/search'))).json();
      this.found = { total, matches, text, i: -1 };
      if (total) this.next(1);
    }
    render();
  }

  next(by) {
    const { found } = this;
    found.i = (found.i + by + found.matches.length) % found.matches.length;
    this.jump(found.matches[found.i].line);
    render();
  }
}

/* Stops reading what is not looked at any more. */
export function letGo(id) {
  if (!S.tail || S.tail.id === id) return;
  S.tail.stop();
  S.tail = null;
}

function finder(tail) {
  const { found } = tail;
  const onkeydown = (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    const text = event.target.value.trim();
    if (found?.total && found.text === text) tail.next(event.shiftKey ? -1 : 1);
    else tail.search(text).catch((error) => {
      tail.found = { total: 0, matches: [], text, why: error.message };
      render();
    });
  };
  return [
    h('input.find', { type: 'search', placeholder: 'Search, or :120', 'aria-label': 'Search the output, or :120 for a line', onkeydown }),
    found && h('span.small', { role: 'status' }, found.why || (found.total ? `${number(found.i + 1)} of ${number(found.total)}` : 'not found')),
    found?.total > 1 && [[-1, '‹', 'Previous match'], [1, '›', 'Next match']].map(([by, sign, words]) =>
      small(sign, () => tail.next(by), words)),
  ];
}

export function output(job, attempt, line) {
  if (!attempt) return [h('h2', 'Output'), soft(ENDED.includes(job.state) ? 'None: it never started.' : 'Its output appears here when it runs.')];
  if (S.tail?.id !== job.id || S.tail.attempt !== attempt) {
    S.tail?.stop();
    S.tail = new Tail(job.id, attempt, line);
  }
  const { tail } = S;
  if (line && tail.asked !== line) {
    tail.asked = line;
    queueMicrotask(() => tail.jump(line));
  }
  const wrap = ({ target }) => {
    S.nowrap = !target.checked;
    render();
  };
  const toEnd = () => {
    tail.toEnd();
    render();
  };
  const isStarted = tail.first > 0 && tail.size > 0;
  return [
    h('div.row.apart', h('h2', `Output of attempt ${attempt}`), h('div.row',
      !tail.isOver && h('span.live', h('span.dot', { class: tail.follow ? 'on' : 'off' }), tail.follow ? 'live' : 'scrolled back'),
      !tail.follow && isStarted && small('To the end', toEnd),
      tail.why || finder(tail),
      h('label.row.small', h('input', { type: 'checkbox', checked: !S.nowrap, onchange: wrap }), 'wrap'),
      h('a.small', { href: tail.url({ follow: true }), target: '_blank', rel: 'noopener', title: 'all of it as text' }, 'Raw'),
      h('a.small', { href: tail.url({ download: true }), download: '' }, 'Download'))),
    tail.why ? soft(tail.why) : [
      tail.isOver && !tail.size && soft('This attempt wrote no output.'),
      isStarted && soft(`${size(tail.size)}, shown from line ${number(tail.first)}`, tail.isCut && `, ${many(tail.number - tail.first, 'line')}`),
      h('pre.out', {
        key: `${job.id} ${attempt}`, class: `${S.nowrap ? 'nowrap' : ''} ${tail.isOver ? '' : 'live-out'}`,
        tabindex: 0, role: 'region', 'aria-label': 'Output', own: true, born: (node) => tail.attach(node),
      })],
  ];
}
