/* Signing in, and writing as somebody who has. */
import { keep, S, start } from './state.js';
import { h } from './dom.js';
import { type } from './components.js';
import { api, Trouble } from './server.js';
import { form } from './dialog.js';

const AGAIN = 'To change something, this browser needs the token once more.';
let asking = null;

export async function write(method, path, body, more) {
  if (!keep('write') && S.session.auth === 'token') await signIn(AGAIN);
  const send = async () => (await api(method, path, body, more)).json();
  try {
    return await send();
  } catch (error) {
    if (error.status !== 401 && error.title !== 'no write token') throw error;
    await signIn(AGAIN);
    return send();
  }
}

async function login(token) {
  const made = await (await api('POST', '/api/v1/session', { token })).json();
  keep('write', made.write_token);
}

/* Uses the token of the printed address, which is then taken out of it. */
export async function enter(token) {
  history.replaceState(null, '', '#/overview');
  await login(token);
  await start();
}

/* Asks for the token; kept is until the person has given it or up. */
export function signIn(why) {
  return (asking ||= new Promise((done, fail) => form({
    title: 'Sign in', submit: 'Sign in', isFirm: true,
    intro: [h('p', why), h('p.soft', 'To see the token, type ', type('queuectl web token'))],
    fields: [{
      name: 'token', label: 'Token, or the address that was printed', type: 'password', autocomplete: 'current-password', required: true, whole: true,
    }],
    onsubmit: async ({ token }) => {
      await login(token.split('#token=').pop().trim());
      done();
    },
    onclose: (isDone) => {
      asking = null;
      if (!isDone) fail(new Trouble({ detail: 'You are not signed in' }));
      start();
    },
  })));
}
