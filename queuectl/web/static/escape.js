/* What words, numbers and instants look like, and what text may reach the page. */
export const STATES = {
  pending: ['Pending', 'ready to run as soon as a worker is free'],
  scheduled: ['Scheduled', 'will not start before its time'],
  held: ['Held', 'waits until it is released'],
  failed: ['Retrying', 'failed; it will be retried'],
  processing: ['Processing', 'a worker is running it now'],
  completed: ['Completed', 'the last attempt exited with 0'],
  cancelled: ['Cancelled', 'cancelled by a user'],
  dead: ['Dead', 'has no retries left; retry or delete it'],
};
export const COUNTED = ['pending', 'held', 'failed', 'processing', 'completed', 'cancelled', 'dead'];
export const ENDED = ['completed', 'cancelled', 'dead'];
export const VIEWS = { overview: 'Overview', jobs: 'Jobs', dead: 'Dead letters', workers: 'Workers', config: 'Config', health: 'Health' };
export const FILTERS = {
  q: 'Text',
  state: 'State',
  queue: 'Queue',
  tag: 'Tag',
  batch: 'Batch',
  error: 'Error',
  since: 'Since',
  until: 'Until',
};
export const SORTS = {
  updated: 'Last changed',
  created: 'Newest',
  '-created': 'Oldest',
  priority: 'Priority',
  run_at: 'Start, latest',
  '-run_at': 'Start, earliest',
  id: 'Id',
  state: 'State',
  queue: 'Queue',
  attempts: 'Tries',
};

export const number = (n) => n.toLocaleString('en');
export const many = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;
export const percent = (share) => `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;
export const at = (iso) => Date.parse(iso);

export function span(s) {
  s = Math.max(0, s);
  if (s < 1 && s) return s < 0.0995 ? `${Math.max(1, Math.round(s * 1000))} ms` : `${s.toFixed(1)} s`;
  if (s < 9.95) return `${+s.toFixed(1)} s`;
  s = Math.round(s);
  const two = (a, u, b, v) => `${a} ${u}${b ? ` ${b} ${v}` : ''}`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor(s / 60) % 60, 'min');
  return two(Math.floor(s / 86400), 'd', Math.floor(s / 3600) % 24, 'h');
}

export function size(n) {
  let unit = 0;
  for (; n >= 1000 && unit < 4; unit++) n /= 1024;
  return `${unit && n < 10 ? n.toFixed(1) : Math.round(n)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

/* Text as a terminal would leave it: without colours, each line from its last carriage return on. */
const ESCAPES = /\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)/g;
const lastPart = (line) => line.replace(/\r+$/, '').split('\r').pop();
export const plainText = (text) => text.replace(ESCAPES, '').split('\n').map(lastPart).join('\n');

/* What a terminal or a bidirectional layout would act upon is shown instead. */
const ACTIVE =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
export const inert = (text) =>
  text.replace(ACTIVE, (c) => {
    const code = c.codePointAt(0);
    return code < 32
      ? String.fromCharCode(0x2400 + code)
      : code === 127
        ? '\u2421'
        : `\u2039U+${code.toString(16).toUpperCase().padStart(4, '0')}\u203a`;
  });
