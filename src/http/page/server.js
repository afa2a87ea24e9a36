// The server, with the token where there is one. Paths are relative, so that the page works below any path of a proxy.

const KEY = 'swarmcat.token';
const PATIENCE = 10000;

export class Problem extends Error {
  constructor(status, body) {
    super(body.message || body.error || `The server answered ${status}`);
    Object.assign(this, { status, type: body.type || '' });
  }
}

// Called when the server wants a token, with the words for it; resolves when there is a new one.
let wanted = async () => {};
export const onTokenWanted = (ask) => { wanted = ask; };

let kept = null;
try { kept = sessionStorage.getItem(KEY); } catch { /* a browser that keeps nothing still works for one page */ }

// Why a token is asked for, while it is. What is kept is wrong then, and must not be shown again and again: after so many
// wrong ones the server hears nobody at this address, and no other page and player there either.
let refused = null;

export function keepToken(token) {
  kept = token;
  refused = null;
  try { sessionStorage.setItem(KEY, token); } catch { /* as above */ }
}

async function send(method, path, options = {}) {
  if (refused) throw refused;
  const headers = { ...options.headers };
  if (kept) headers.Authorization = `Bearer ${kept}`;
  return fetch(path, { method, ...options, headers, cache: 'no-store', credentials: 'omit' });
}

async function refusal(response) {
  return new Problem(response.status, await response.json().catch(() => ({})));
}

// A response that is a success.
async function ask(method, path, options) {
  const response = await send(method, path, options);
  if (!response.ok) throw await refusal(response);
  return response;
}

export const json = async (method, path, options) => (await ask(method, path, options)).json();

// Asks for the first byte, and throws what keeps it from coming.
export async function probe(path) {
  const response = await send('GET', path, { headers: { Range: 'bytes=0-0' } });
  if (!response.ok && response.status !== 416) throw await refusal(response);
  await response.body?.cancel();
}

const pause = (millis) => new Promise((done) => setTimeout(done, millis));

// The state of all torrents, as long as the page lives. (EventSource cannot show a token.)
export async function follow(tell, state) {
  for (let wait = 500; ; wait = Math.min(wait * 2, PATIENCE)) {
    try {
      const response = await ask('GET', 'events?brief=1');
      state('live');
      wait = 500;
      await listen(response.body.getReader(), tell);
    } catch (problem) {
      // To look is allowed to everybody, unless there is a token; and to be too often wrong about that one is refused.
      if ([401, 429].includes(problem.status)) {
        refused = problem;
        await wanted(kept === null ? '' : problem.message);
        wait = 250;
        continue;
      }
      // Else the server is away; it may come back.
    }
    state('lost');
    await pause(wait);
  }
}

async function listen(reader, tell) {
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split('\n\n');
    text = events.pop();
    for (const event of events) {
      const data = event.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n');
      if (data) tell(JSON.parse(data));
    }
  }
}
