/* Output of an attempt: the end of the file, then what is added; never more than so many lines in the document. */
import { ENDED, inert, plainText } from './escape.js';
import { refresh, render, S } from './state.js';
import { h } from './dom.js';
import { small, soft } from './components.js';
import { api } from './server.js';

const FIRST = 200, LINES = 5000, BLOCK = 250; // lines: asked for at first, kept, in an element
const LONGEST = 10000, WAITING = 2e6; // characters: of a line, before they are painted

const clean = (line) => inert(plainText(line).slice(0, LONGEST));

/* Reads the output of one attempt, and paints it into a pane. */
class Tail {
  constructor(id, attempt) {
    Object.assign(this, { id, attempt, start: 0, at: 0, waiting: '', rest: '', follow: true, isOver: false, wait: 1, decoder: new TextDecoder() });
  }

  url(query) { return `api/v1/jobs/${this.id}/output?${new URLSearchParams({ attempt: this.attempt, ...query })}`; }

  attach(pane) {
    this.pane = pane;
    this.tail = document.createTextNode('');
    pane.append(this.tail);
    pane.onscroll = () => {
      const was = this.follow;
      this.follow = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 12;
      if (was !== this.follow) render();
    };
    this.open();
  }

  // --- reading

  async open() {
    try {
      const answer = await api('GET', this.url({ lines: FIRST }));
      this.at = this.start = +answer.headers.get('x-queuectl-from');
      this.take(new Uint8Array(await answer.arrayBuffer()));
      if (answer.headers.get('x-queuectl-ended') === 'true') this.end();
      else this.stream();
    } catch (error) {
      if (error.status !== 404) return this.later(() => this.open());
      this.why = error.message;
      this.end();
    }
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
      else this.later(() => this.stream());
    }
  }

  async poll() {
    try {
      const answer = await api('GET', this.url({ from: this.at })), bytes = new Uint8Array(await answer.arrayBuffer());
      if (this.restarted(answer)) return this.poll();
      this.take(bytes);
      if (answer.headers.get('x-queuectl-ended') === 'true' && !bytes.length) return this.end();
    } catch { /* asked again all the same */ }
    this.later(() => this.poll());
  }

  /* Tells whether the file is shorter than what was read; then it is read from its new beginning. (A stream says so itself.) */
  restarted(answer) {
    if (+answer.headers.get('x-queuectl-size') >= this.at) return false;
    this.take(new TextEncoder().encode('\n--- the output was truncated: showing it from its new start ---\n'));
    this.at = 0;
    return true;
  }

  later(does) {
    if (S.tail !== this) return;
    setTimeout(() => { if (S.tail === this && !document.hidden) does(); }, this.wait * 1000);
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

  // --- painting

  take(bytes) {
    this.at += bytes.length;
    this.waiting += this.decoder.decode(bytes, { stream: true });
    if (this.waiting.length > WAITING) {
      this.waiting = this.waiting.slice(-WAITING / 2);
      this.skipped = true;
    }
    if (!this.painting) this.painting = requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.painting = null;
    const lines = (this.rest + this.waiting).split('\n');
    this.waiting = '';
    this.rest = lines.pop();
    if (this.rest.length > 2 * LONGEST) this.rest = this.rest.slice(-LONGEST);
    if (lines.length > LINES) {
      lines.splice(0, lines.length - LINES);
      this.skipped = true;
    }
    while (lines.length) {
      if (!this.block || this.count >= BLOCK) this.addBlock();
      const some = lines.splice(0, BLOCK - this.count);
      this.block.firstChild.appendData(some.map((line) => `${clean(line)}\n`).join(''));
      this.count += some.length;
    }
    this.tail.data = clean(this.rest);
    while (this.pane.children.length > LINES / BLOCK) {
      this.pane.firstChild.remove();
      this.skipped = true;
    }
    if (this.follow) this.toEnd();
  }

  addBlock() {
    this.block = document.createElement('div');
    this.block.append('');
    this.count = 0;
    this.pane.insertBefore(this.block, this.tail);
  }

  toEnd() {
    this.follow = true;
    this.pane.scrollTop = this.pane.scrollHeight;
  }
}

/* Stops reading what is not looked at any more. */
export function letGo(id) {
  if (!S.tail || S.tail.id === id) return;
  S.tail.stop();
  S.tail = null;
}

export function output(job, attempt) {
  if (!attempt) return [h('h2', 'Output'), soft(ENDED.includes(job.state) ? 'None: it never started.' : 'Its output appears here when it runs.')];
  if (S.tail?.id !== job.id || S.tail.attempt !== attempt) {
    S.tail?.stop();
    S.tail = new Tail(job.id, attempt);
  }
  const { tail } = S;
  const wrap = ({ target }) => {
    S.nowrap = !target.checked;
    render();
  };
  const toEnd = () => {
    tail.toEnd();
    render();
  };
  return [
    h('div.row.apart', h('h2', `Output of attempt ${attempt}`), h('div.row',
      !tail.isOver && h('span.live', h('span.dot', { class: tail.follow ? 'on' : 'off' }), tail.follow ? 'live' : 'scrolled back'),
      !tail.follow && small('To the end', toEnd),
      h('label.row.small', h('input', { type: 'checkbox', checked: !S.nowrap, onchange: wrap }), 'wrap'),
      h('a.small', { href: tail.url({}), target: '_blank', rel: 'noopener' }, 'Raw'),
      h('a.small', { href: tail.url({ download: true }), download: '' }, 'Download'))),
    tail.why ? soft(tail.why) : [
      tail.isOver && !tail.at && soft('This attempt wrote no output.'),
      (tail.start > 0 || tail.skipped) && soft('Earlier lines are in Raw and Download.'),
      h('pre.out', {
        key: `${job.id} ${attempt}`, class: `${S.nowrap ? 'nowrap' : ''} ${tail.isOver ? '' : 'live-out'}`,
        tabindex: 0, role: 'region', 'aria-label': 'Output', own: true, born: (node) => tail.attach(node),
      })],
  ];
}
