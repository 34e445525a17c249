/* Signing in, and writing as somebody who has. */
import { keep, refresh, render, S, start } from './state.js';
import { h } from './dom.js';
import { toast, type } from './components.js';
import { api, SILENCE, Trouble, wrong } from './server.js';
import { form } from './dialog.js';

const AGAIN = 'To change something, this browser needs the token once more.';
let asking = null;

export async function write(method, path, body) {
  if (!keep('write') && S.session.auth === 'token') await signIn(AGAIN);
  const send = async () => (await api(method, path, body)).json();
  try {
    return await send();
  } catch (error) {
    if (error.status !== 401 && error.title !== 'no write token') throw error;
    await signIn(AGAIN);
    return send();
  }
}

/* Does something once at a time, however often it is clicked. */
export async function act(key, does) {
  if (S.busy.has(key)) return;
  S.busy.add(key);
  render();
  try {
    await does();
  } catch (error) {
    toast(error instanceof Trouble ? error.words : SILENCE, { kind: 'error' });
  } finally {
    S.busy.delete(key);
    refresh();
  }
}

export const post = (key, path, words, body) => act(key, async () => {
  const made = await write('POST', `api/v1/${path}`, body);
  toast(typeof words === 'function' ? words(made) : words);
});

/* Signs in with the token, or with the address that was printed. */
async function login(token) {
  const made = await (await api('POST', 'api/v1/session', { token })).json();
  keep('write', made.write_token);
}

/* Uses the code of the printed address, which is then taken out of it. */
export async function enter(hash) {
  history.replaceState(history.state, '', '#/overview');
  await login(hash).catch((error) => toast(error.words, { kind: 'error' })); // who has signed in before needs no code
  await start();
}

/* Asks for the token; kept is until the person has given it or up. */
export function signIn(why) {
  return (asking ||= new Promise((done, fail) => form({
    title: 'Sign in', submit: 'Sign in', isFirm: true,
    intro: [h('p', why),
      h('p.soft', type('queuectl web login'), ' prints an address that signs you in. ', type('queuectl web token'), ' prints the token.')],
    fields: [{
      name: 'token', label: 'Token, or the address that was printed', type: 'password', autocomplete: 'current-password', required: true, whole: true,
    }],
    onsubmit: async ({ token }) => {
      await login(token.trim()).catch((error) => {
        if (error.status === 401) throw wrong('token', `${error.message[0].toUpperCase()}${error.message.slice(1)}`, error.message);
        throw error.status === 429 ? new Trouble({ detail: 'Too many wrong tokens. Wait a minute.' }, 429) : error;
      });
      done();
    },
    onclose: (isDone) => {
      asking = null;
      if (!isDone) fail(new Trouble({ detail: 'You are not signed in' }));
      start();
    },
  })));
}
