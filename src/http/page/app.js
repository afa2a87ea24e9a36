// Puts the page together: what is pasted or dropped, what is chosen, what the server says.

import { Operator } from './operator.js';
import { PieceMap, SPAN, decoded, plot } from './pictures.js';
import { Player, command, copy, links } from './player.js';
import * as server from './server.js';
import { byId, countPeers, countVerified, listFiles, listPeers, listTorrents, plays, show, usual } from './torrents.js';
import { bytes, fileName, many, nameOf, now, percent, rate, shown } from './words.js';

const MAX_METAINFO = 10 << 20;

const state = {
  torrents: new Map(),
  // What the events leave out: the files of each torrent.
  files: new Map(),
  samples: new Map(),
  magnets: new Map(),
  chosen: null,
  file: null,
  looking: null,
};

const say = (word) => show(byId('said'), word);
const map = new PieceMap(byId('map'));
const operator = new Operator((word) => { say(word); notice(word, true); });
const player = new Player(trouble);

// `again` is offered where the server would do it all the same, when it is told to.
function notice(word, good = false, again = null) {
  const box = byId('notice');
  box.hidden = !word;
  box.dataset.good = String(good);
  show(box.firstElementChild, word);
  byId('anyway').hidden = !again;
  byId('anyway').onclick = again;
}

function trouble(problem) {
  const box = byId('trouble');
  box.hidden = !problem;
  if (!problem) return;
  show(box.querySelector('p'), shown(problem.message));
  byId('force').hidden = problem.type !== 'cooldown';
  operator.refresh();
}

// Adding

function named(text) {
  const source = text.trim();
  if (!/^magnet:/i.test(source)) return { hash: source, query: [] };
  const hash = /xt(?:\.\d+)?=urn:btih:([0-9a-z]{32,40})/i.exec(source)?.[1];
  if (!hash && /urn:btmh:/i.test(source)) throw new Error('This magnet link is BitTorrent v2 alone, which is not supported');
  if (!hash) throw new Error('This magnet link names no torrent: it has no xt=urn:btih:…');
  return { hash, query: [`magnet=${encodeURIComponent(source)}`], magnet: source };
}

async function add(look, magnet, force) {
  state.looking?.abort();
  const looking = new AbortController();
  state.looking = looking;
  notice('');
  trouble(null);
  byId('go').setAttribute('aria-busy', 'true');
  try {
    const torrent = await look(looking.signal);
    if (magnet) state.magnets.set(torrent.info_hash, magnet);
    byId('source').value = '';
    learn(torrent);
    choose(torrent.info_hash);
    const main = torrent.files.filter(plays);
    if (main.length === 1) startPlaying();
    else byId('files').querySelector('[aria-current="true"]')?.focus();
  } catch (problem) {
    if (!looking.signal.aborted) notice(shown(problem.message), false, problem.type === 'cooldown' ? force : null);
    byId('source').select();
    operator.refresh();
  }
  if (state.looking === looking) {
    state.looking = null;
    byId('go').removeAttribute('aria-busy');
    if (state.chosen && !state.files.has(state.chosen)) leave();
    draw();
  }
}

function paste(event) {
  event.preventDefault();
  let wanted;
  try {
    wanted = named(byId('source').value);
  } catch (problem) {
    notice(problem.message);
    return;
  }
  if (!wanted.hash) {
    notice('Paste an info hash (40 hex or 32 base32 characters) or a magnet link');
    byId('source').focus();
    return;
  }
  look(wanted, false);
}

function look(wanted, force) {
  const query = [...wanted.query, ...(force ? ['force=1'] : [])].join('&');
  const path = `torrents/${encodeURIComponent(wanted.hash)}${query && `?${query}`}`;
  if (/^[0-9a-f]{40}$/i.test(wanted.hash)) choose(wanted.hash.toLowerCase());
  say('Looking for the torrent');
  add((signal) => server.json('POST', path, { signal }), wanted.magnet, () => look(wanted, true));
}

function handIn(file) {
  if (file.size > MAX_METAINFO) {
    notice('This is too large for a .torrent file');
    return;
  }
  add((signal) => server.json('POST', 'torrents', { signal, body: file }));
}

function takeDrops() {
  const over = (is) => document.body.classList.toggle('over', is);
  addEventListener('dragover', (event) => { event.preventDefault(); over(true); });
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) over(false); });
  addEventListener('drop', (event) => {
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) return handIn(file);
    byId('source').value = event.dataTransfer.getData('text');
    return byId('add').requestSubmit();
  });
}

// Choosing

function learn(torrent) {
  state.files.set(torrent.info_hash, torrent.files);
  state.torrents.set(torrent.info_hash, torrent);
}

function leave() {
  state.chosen = null;
  byId('stage').hidden = true;
}

function choose(hash) {
  if (state.chosen !== hash) {
    player.stop();
    trouble(null);
    state.chosen = hash;
    state.file = null;
    byId('filter').value = '';
    byId('copied-card').hidden = true;
    listPeers([]);
    lookAtPeers();
    settleDrop();
  }
  history.replaceState(null, '', `#${hash}`);
  const torrent = state.torrents.get(hash);
  if (torrent && torrent.state !== 'searching' && !state.files.has(hash)) fill(hash);
  draw();
}

// From the list, which may be far below on a phone.
function visit(hash) {
  choose(hash);
  byId('stage').scrollIntoView({ block: 'start' });
  byId('title').focus({ preventScroll: true });
}

const chosen = () => {
  const torrent = state.torrents.get(state.chosen);
  return torrent && { ...torrent, files: state.files.get(state.chosen) || [] };
};

const chosenFile = (torrent) => torrent.files.find(({ index }) => index === state.file) || null;

function startPlaying() {
  const torrent = chosen();
  const file = torrent && chosenFile(torrent);
  if (!file) return;
  trouble(null);
  say(`Playing ${fileName(file.path)}`);
  player.play(torrent, file);
}

function chooseFile(index) {
  state.file = index;
  draw();
  startPlaying();
}

// Drawing

async function fill(hash) {
  state.files.set(hash, []);
  try {
    learn(await server.json('GET', `torrents/${hash}`));
  } catch {
    state.files.delete(hash);
  }
  draw();
}

function draw() {
  const torrents = [...state.torrents.values()].filter((torrent) => torrent.here !== false)
    .sort((one, other) => other.readers - one.readers || nameOf(one).localeCompare(nameOf(other)));
  listTorrents(torrents, state.chosen, visit);
  const torrent = chosen();
  byId('stage').hidden = !torrent && !(state.looking && state.chosen);
  document.body.classList.toggle('empty', byId('stage').hidden);
  byId('stop').hidden = !state.looking;
  byId('drop').hidden = !torrent?.files.length;
  byId('play').disabled = !torrent?.files.length;
  if (!torrent) {
    show(byId('title').firstChild, state.chosen || '');
    show(byId('now'), 'Looking for peers');
    byId('files-card').hidden = true;
    byId('pieces-card').hidden = true;
    return;
  }
  if (torrent.state !== 'searching' && torrent.files.length && state.file === null) state.file = usual(torrent.files)?.index ?? null;
  stage(torrent);
}

function stage(torrent) {
  const file = chosenFile(torrent);
  show(byId('title').firstChild, file && torrent.files.length > 1 ? fileName(file.path) : nameOf(torrent));
  document.title = `${nameOf(torrent)} · swarmcat`;
  const word = torrent.here === false ? 'Let go: nobody read it. Play it to go on' : now(torrent);
  show(byId('now'), word);
  const have = decoded(torrent.have);
  const counted = torrent.piece_length ? countVerified(torrent, torrent.files, have) : torrent.files;
  listFiles({ ...torrent, files: counted }, state.file, chooseFile);
  byId('pieces-card').hidden = !torrent.piece_length;
  const { pieces, here, heads } = map.show(torrent, file);
  const awaited = torrent.awaited.length ? `, waiting for ${torrent.awaited.slice(0, 8).join(', ')}` : '';
  show(byId('piece-count'), pieces ? `${here} of ${pieces}, ${bytes(torrent.piece_length)} each` : '');
  const read = heads.length ? `, ${many(heads.length, 'reader')} at ${heads.slice(0, 8).join(', ')}` : '';
  byId('map').setAttribute('aria-label', `Pieces: ${here} of ${pieces} are here, ${percent(here, pieces)}${awaited}${read}`);
  countPeers(torrent);
  drawRates(torrent);
  byId('hand-over').querySelectorAll('[data-copy], a').forEach((one) => { one.hidden = !file; });
}

// The events count peers; each of them is asked for while somebody looks.
async function lookAtPeers() {
  const { chosen: hash } = state;
  if (!hash || !byId('peer-list').open || document.hidden) return;
  // Nobody looks for it any more, or it is let go of: what was seen last stays.
  const { peer_list: peers } = await server.json('GET', `torrents/${hash}`).catch(() => ({}));
  if (peers && hash === state.chosen) listPeers(peers);
}

function drawRates(torrent) {
  const samples = state.samples.get(torrent.info_hash) || [];
  const [down, up] = [torrent.download_rate, torrent.upload_rate].map(rate);
  show(byId('down'), down);
  show(byId('up'), up);
  const minutes = plot(byId('plot'), samples, rate);
  show(byId('span'), minutes === 1 ? 'last minute' : `last ${minutes} minutes`);
  byId('plot').setAttribute('aria-label', `Rate: now ${down} down, ${up} up; at most ${rate(Math.max(0, ...samples.map(([most]) => most)))}`);
}

function told(torrents) {
  const live = new Set(torrents.map(({ info_hash: hash }) => hash));
  for (const hash of state.torrents.keys()) {
    if (live.has(hash)) continue;
    // What is on the screen stays there, as it was last seen.
    if (hash === state.chosen && state.files.get(hash)?.length) {
      Object.assign(state.torrents.get(hash), { here: false, download_rate: 0, upload_rate: 0, awaited: [], positions: [], readers: 0 });
    } else state.torrents.delete(hash);
  }
  for (const torrent of torrents) {
    const before = state.torrents.get(torrent.info_hash);
    if (before && before.state !== torrent.state && torrent.info_hash === state.chosen) say(now(torrent));
    state.torrents.set(torrent.info_hash, torrent);
  }
  const { chosen: hash } = state;
  if (live.has(hash) && state.torrents.get(hash).state !== 'searching' && !state.files.has(hash)) fill(hash);
  draw();
}

function sample() {
  for (const [hash, { download_rate: down, upload_rate: up }] of state.torrents) {
    const samples = state.samples.get(hash) || [];
    samples.push([down, up]);
    if (samples.length > SPAN) samples.shift();
    state.samples.set(hash, samples);
  }
  const torrent = chosen();
  if (torrent && !byId('stage').hidden) drawRates(torrent);
}

// Handing over

async function handOver(button) {
  const torrent = chosen();
  const text = {
    stream: () => links.stream(torrent.info_hash, state.file),
    playlist: () => links.playlist(torrent.info_hash),
    command: () => command(torrent.info_hash, state.file, state.magnets.get(torrent.info_hash)),
  };
  const word = button.textContent;
  const wanted = await text[button.dataset.copy]();
  const done = await copy(wanted);
  byId('copied-card').hidden = done;
  if (!done) {
    byId('copied').value = wanted;
    byId('copied').select();
  }
  button.textContent = done ? 'Copied' : 'Not copied';
  say(done ? 'Copied' : 'The browser did not let the page copy it');
  setTimeout(() => { button.textContent = word; }, 1500);
}

async function openPlaylist(event) {
  if (event.currentTarget.dataset.ready === state.chosen) return;
  event.preventDefault();
  const anchor = event.currentTarget;
  const { pathname, search } = new URL(await links.playlist(state.chosen));
  anchor.href = pathname.slice(pathname.indexOf('playlist/')) + search;
  anchor.dataset.ready = state.chosen;
  anchor.click();
}

function settleDrop() {
  const button = byId('drop');
  button.textContent = 'Delete';
  delete button.dataset.sure;
}

async function dropTorrent() {
  const [button, hash] = [byId('drop'), state.chosen];
  if (!button.dataset.sure) {
    button.dataset.sure = '1';
    button.textContent = `Delete ${bytes(chosen()?.verified || 0)}?`;
    return;
  }
  settleDrop();
  player.stop();
  try {
    await server.json('DELETE', `torrents/${hash}`);
    say('Deleted');
    state.torrents.delete(hash);
    state.files.delete(hash);
    leave();
    byId('source').focus();
  } catch (problem) {
    trouble(problem);
  }
  operator.refresh();
  draw();
}

async function tryAnyway() {
  trouble(null);
  player.say('Trying anyway');
  try {
    await player.force();
    startPlaying();
  } catch (problem) {
    player.say('');
    trouble(problem);
  }
}

// The token

let asking = null;

function askToken(word) {
  asking ??= new Promise((done) => {
    const dialog = byId('ask');
    show(byId('token-word'), shown(word));
    byId('token-word').hidden = !word;
    byId('token').value = '';
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      server.keepToken(byId('token').value.trim());
      asking = null;
      done();
    };
    dialog.showModal();
  });
  return asking;
}

// A link with #token=… carries the token to a phone: what follows # is never sent.
function readAddress() {
  const token = /[#&]token=([\w.~-]+)/.exec(location.hash)?.[1];
  if (token) {
    server.keepToken(token);
    history.replaceState(null, '', location.pathname);
  }
  const hash = /^#([0-9a-f]{40})$/.exec(location.hash)?.[1];
  if (hash) {
    byId('source').value = hash;
    state.chosen = hash;
  }
}

function start() {
  server.onTokenWanted(askToken);
  readAddress();
  byId('add').addEventListener('submit', paste);
  byId('pick').addEventListener('click', () => byId('metainfo').click());
  byId('metainfo').addEventListener('change', ({ target }) => {
    if (target.files[0]) handIn(target.files[0]);
    target.value = '';
  });
  takeDrops();
  byId('play').addEventListener('click', startPlaying);
  byId('force').addEventListener('click', tryAnyway);
  byId('stop').addEventListener('click', () => { state.looking?.abort(); });
  byId('drop').addEventListener('click', dropTorrent);
  byId('drop').addEventListener('blur', settleDrop);
  byId('filter').addEventListener('input', draw);
  byId('open').addEventListener('click', openPlaylist);
  byId('hand-over').querySelectorAll('[data-copy]').forEach((button) => {
    button.addEventListener('click', () => handOver(button).catch((problem) => trouble(problem)));
  });
  setInterval(sample, 1000);
  setInterval(lookAtPeers, 2000);
  byId('peer-list').addEventListener('toggle', lookAtPeers);
  // The pictures have no colours of their own.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
  server.follow(told, (link) => {
    byId('link').dataset.state = link;
    show(byId('link'), link === 'live' ? 'live' : 'connection lost');
    if (link === 'live') operator.refresh();
  });
}

start();
