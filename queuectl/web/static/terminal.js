/* Text as a terminal shows it: colours as classes, and lines that are written over. */
import { inert } from './escape.js';

const REACH = 50; // rows that can still be written over
const LONGEST = 10000, HELD = 200; // characters: of a row, and of an escape sequence that is not complete
const TOKENS = /\x1b\[([0-9;:?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[()][0-9A-Z]|\x1b[^[\]()\n]|[\n\r\b]|[^\x1b\n\r\b]+|\x1b/g;
const OPEN = /\x1b(?:\[[0-9;:?]*[ -/]*|\][^\x07\x1b\n]*\x1b?|[()])?$/;
const STYLES = { 1: 'bold', 2: 'dim', 3: 'italic', 4: 'under', 7: 'swap', 9: 'strike' };
const CUBE = [0, 95, 135, 175, 215, 255];

/* The nearest of the 16 colours to one of 256, or to red, green and blue. */
function nearest(r, g, b) {
  const most = Math.max(r, g, b);
  if (most < 60) return 0;
  const bits = [r, g, b].reduce((sum, part, i) => sum + (part > most / 2 ? 1 << i : 0), 0);
  return bits === 7 && most < 150 ? 8 : bits + (most > 180 && bits !== 7 ? 8 : 0);
}
function of256(n) {
  if (n < 16) return n;
  if (n > 231) return nearest(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
  return nearest(CUBE[Math.floor((n - 16) / 36)], CUBE[Math.floor((n - 16) / 6) % 6], CUBE[(n - 16) % 6]);
}

const lengthOf = (runs) => runs.reduce((sum, [text]) => sum + text.length, 0);

/* The runs of a row from one column to another. */
function piece(runs, from, to) {
  const made = [];
  let at = 0;
  for (const [text, look] of runs) {
    const part = text.slice(Math.max(0, from - at), Math.max(0, to - at));
    if (part) made.push([part, look]);
    at += text.length;
  }
  return made;
}

/* Takes text, and keeps the rows that can still change. */
export class Terminal {
  constructor() {
    this.rows = [{ runs: [], isNew: true, line: 0 }];
    Object.assign(this, { fed: 0, x: 0, y: 0, held: '', styles: new Set(), fore: null, back: null, look: '' });
  }

  feed(text) {
    text = this.held + text;
    this.held = OPEN.exec(text)?.[0] || '';
    if (this.held.length > HELD) this.held = '';
    const done = [];
    for (const [token, params, final] of text.slice(0, text.length - this.held.length).matchAll(TOKENS)) {
      if (final) this.control(params, final);
      else if (token === '\n') this.down(done);
      else if (token === '\r') this.x = 0;
      else if (token === '\b') this.x = Math.max(0, this.x - 1);
      else if (token[0] !== '\x1b') this.write(token);
    }
    return done; // rows that have left the reach
  }

  /* A row has the number of the line breaks before it, as the file is numbered. */
  down(done) {
    this.x = 0;
    this.fed++;
    if (++this.y < this.rows.length) return;
    this.rows.push({ runs: [], isNew: true, line: this.fed });
    if (this.rows.length > REACH) {
      done.push(this.rows.shift());
      this.y--;
    }
  }

  write(text) {
    const row = this.rows[this.y], length = lengthOf(row.runs);
    text = text.slice(0, Math.max(0, LONGEST - this.x));
    if (!text) return;
    row.isChanged = true;
    if (this.x > length) row.runs.push([' '.repeat(this.x - length), '']);
    const after = this.x < length ? piece(row.runs, this.x + text.length, Infinity) : [];
    if (this.x < length) row.runs = piece(row.runs, 0, this.x);
    const last = row.runs.at(-1);
    if (last?.[1] === this.look) last[0] += text;
    else row.runs.push([text, this.look]);
    row.runs.push(...after);
    this.x += text.length;
  }

  control(params, final) {
    if (final === 'm') return this.style(params.split(/[;:]/).map(Number));
    if (params[0] === '?') return;
    const n = Math.max(1, parseInt(params, 10) || 0), row = this.rows[this.y];
    if (final === 'A' || final === 'F') this.y = Math.max(0, this.y - n);
    if (final === 'B' || final === 'E') this.y = Math.min(this.rows.length - 1, this.y + n);
    if (final === 'E' || final === 'F') this.x = 0;
    if (final === 'C') this.x = Math.min(LONGEST, this.x + n);
    if (final === 'D') this.x = Math.max(0, this.x - n);
    if (final === 'G') this.x = Math.min(LONGEST, n - 1);
    if (final === 'K' || (final === 'J' && !parseInt(params, 10))) {
      const how = final === 'K' ? parseInt(params, 10) || 0 : 0;
      row.runs = how === 2 ? [] : how === 1 ? [[' '.repeat(this.x), ''], ...piece(row.runs, this.x, Infinity)] : piece(row.runs, 0, this.x);
      row.isChanged = true;
      if (final === 'J') for (const below of this.rows.slice(this.y + 1)) Object.assign(below, { runs: [], isChanged: true });
    }
  }

  style(codes) {
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i], side = code < 40 || (code >= 90 && code < 100) ? 'fore' : 'back';
      if (!code) Object.assign(this, { styles: new Set(), fore: null, back: null });
      else if (STYLES[code]) this.styles.add(STYLES[code]);
      else if (code === 22) ['bold', 'dim'].forEach((name) => this.styles.delete(name));
      else if (STYLES[code - 20]) this.styles.delete(STYLES[code - 20]);
      else if (code === 38 || code === 48) {
        this[side] = codes[i + 1] === 5 ? of256(codes[i + 2] || 0) : nearest(...[2, 3, 4].map((k) => codes[i + k] || 0));
        i += codes[i + 1] === 5 ? 2 : 4;
      } else if (code === 39 || code === 49) this[side] = null;
      else if (code >= 30 && code <= 47) this[side] = code % 10;
      else if (code >= 90 && code <= 107) this[side] = (code % 10) + 8;
    }
    this.look = [...this.styles, this.fore != null && `f${this.fore}`, this.back != null && `b${this.back}`].filter(Boolean).join(' ');
  }
}

/* Shows a row in an element of its own; the line break is part of what is copied. */
export function draw(row, number) {
  row.node ||= document.createElement('div');
  row.node.className = 'ln';
  if (number) row.node.dataset.n = number;
  row.node.replaceChildren(...row.runs.map(([text, look]) => {
    if (!look) return inert(text);
    const span = document.createElement('span');
    span.className = look;
    span.textContent = inert(text);
    return span;
  }), '\n');
  row.isNew = row.isChanged = false;
  return row.node;
}
