// The list of torrents, and the files of the chosen one.

import { PEER_STATES, STATES, bytes, fileName, many, nameOf, percent, rate, shown } from './words.js';

export const byId = (id) => document.getElementById(id);

export function element(tag, options = {}, ...children) {
  const made = Object.assign(document.createElement(tag), options);
  made.append(...children);
  return made;
}

export const show = (node, text) => { if (node.textContent !== text) node.textContent = text; };

// Rows by key: what is still there stays the same element, so that focus does too.
function keyed(list, items, key, make, update) {
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  items.forEach((item, at) => {
    const name = String(key(item));
    let row = rows.get(name);
    if (row) rows.delete(name);
    else {
      row = make(item);
      row.dataset.key = name;
    }
    update(row, item);
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] || null);
  });
  rows.forEach((row) => row.remove());
}

export function listTorrents(torrents, chosen, choose) {
  byId('torrents-card').hidden = !torrents.length;
  const make = ({ info_hash: hash }) => {
    const button = element('button', { type: 'button', className: 'torrent' },
      element('bdi', { className: 'name' }), element('progress', { max: 1 }), element('span', { className: 'dim' }));
    button.addEventListener('click', () => choose(hash));
    return element('li', {}, button);
  };
  keyed(byId('torrents'), torrents, (torrent) => torrent.info_hash, make, (row, torrent) => {
    const [button] = row.children;
    const [name, progress, word] = button.children;
    const part = torrent.length ? torrent.verified / torrent.length : 0;
    button.setAttribute('aria-current', String(torrent.info_hash === chosen));
    show(name, nameOf(torrent));
    progress.setAttribute('aria-label', 'Here');
    if (torrent.state === 'searching') progress.removeAttribute('value');
    else progress.value = part;
    const words = [torrent.state === 'complete' && torrent.verified < torrent.length ? 'ready' : STATES[torrent.state]];
    if (torrent.verified && torrent.verified < torrent.length) words.push(percent(torrent.verified, torrent.length));
    if (torrent.length) words.push(bytes(torrent.length));
    if (torrent.download_rate) words.push(rate(torrent.download_rate));
    if (torrent.readers) words.push(many(torrent.readers, 'reader'));
    show(word, words.join(' · '));
  });
}

export const plays = ({ kind }) => kind === 'video' || kind === 'audio';

// The file that the server would take: the largest video, else the largest audio file, else the largest.
export function usual(files) {
  const largest = (some) => some.reduce((best, file) => (!best || file.length > best.length ? file : best), null);
  return largest(files.filter(({ kind }) => kind === 'video')) || largest(files.filter(plays)) || largest(files);
}

const MOST = 300;

export function listFiles(torrent, chosen, choose) {
  const { files } = torrent;
  const filter = byId('filter').value.trim().toLowerCase();
  const main = files.some(plays) ? files.filter(plays) : files;
  const shownFiles = main.filter(({ path }) => path.toLowerCase().includes(filter));
  byId('files-card').hidden = files.length < 2;
  byId('filter').hidden = main.length < 12;
  show(byId('file-count'), main.length > 1 ? `${shownFiles.length === main.length ? '' : `${shownFiles.length} of `}${main.length}` : '');
  const make = (file) => {
    const button = element('button', { type: 'button', className: 'file' },
      element('bdi', { className: 'name' }), element('span', { className: 'dim' }));
    button.addEventListener('click', () => choose(file.index));
    return element('li', {}, button);
  };
  const key = ({ index }) => `${torrent.info_hash}/${index}`;
  keyed(byId('files'), shownFiles.slice(0, MOST), key, make, (row, file) => {
    const [button] = row.children;
    const [name, word] = button.children;
    button.setAttribute('aria-current', String(file.index === chosen));
    button.title = shown(file.path);
    show(name, fileName(file.path));
    const subtitles = files.filter(({ subtitles_of: of }) => of === file.index).length;
    const words = [bytes(file.length)];
    if (file.verified) words.push(file.verified === file.length ? 'here' : percent(file.verified, file.length));
    if (subtitles) words.push(many(subtitles, 'subtitle file'));
    show(word, words.join(' · '));
  });
  others(torrent, files.filter((file) => !main.includes(file)), key);
}

function others(torrent, files, key) {
  const box = byId('others');
  box.hidden = !files.length;
  show(box.querySelector('summary'), many(files.length, 'other file'));
  const make = () => element('li', {}, element('bdi', { className: 'name' }), element('span', { className: 'dim' }));
  keyed(box.querySelector('ul'), files.slice(0, MOST), key, make, (row, file) => {
    show(row.children[0], shown(file.path));
    show(row.children[1], bytes(file.length));
  });
}

// How much of each file is here, by the have-map: the events leave files out.
export function countVerified(torrent, files, have) {
  const length = torrent.piece_length;
  return files.map((file) => {
    let verified = 0;
    for (let piece = Math.floor(file.offset / length); piece * length < file.offset + file.length; piece += 1) {
      const [from, to] = [Math.max(file.offset, piece * length), Math.min(file.offset + file.length, (piece + 1) * length)];
      if (have[piece]) verified += to - from;
    }
    return { ...file, verified };
  });
}

export function countPeers({ peers, search, state }) {
  const rows = [['sending', peers.sending, 'have sent data'], ['unchoked', peers.unchoked, 'let us ask'],
    ['connected', peers.connected, 'connected'],
    ['connecting', peers.connecting, 'being dialled'], ['seen', peers.seen, 'addresses learnt']];
  keyed(byId('peers'), rows, ([key]) => key, () => element('div', {}, element('dt'), element('dd'), element('meter', { max: 1 })),
    (row, [, count, word]) => {
      show(row.children[0], word);
      show(row.children[1], String(count));
      row.children[2].value = peers.seen ? count / peers.seen : 0;
      row.children[2].setAttribute('aria-label', word);
    });
  const words = [];
  if (search.trackers) words.push(`${search.trackers_answered} of ${many(search.trackers, 'tracker')} answered`);
  if (search.dht_nodes !== null && search.dht_nodes !== undefined) words.push(many(search.dht_nodes, 'DHT node'));
  if (state === 'searching' && search.rounds) words.push(`round ${search.round} of ${search.rounds}`);
  show(byId('search'), words.join(' · '));
  byId('peer-list').hidden = !peers.seen && !peers.doing;
  show(byId('peer-list').querySelector('summary'), peers.doing || 'Each of them');
}

// Each once, whatever connections there are to it.
export function listPeers(peers) {
  const each = [...new Map(peers.map((peer) => [peer.address, peer])).values()];
  const make = () => element('li', {}, element('bdi', { className: 'name' }), element('span', { className: 'dim' }),
    element('span', { className: 'dim why' }));
  keyed(byId('peer-list').querySelector('ul'), each.slice(0, MOST), ({ address }) => address, make, (row, peer) => {
    const { address, client, state, reason, rate: pace } = peer;
    const name = client ? `${address} ${shown(client)}` : address;
    row.children[0].title = name;
    show(row.children[0], name);
    show(row.children[1], pace ? `${PEER_STATES[state]} · ${rate(pace)}` : PEER_STATES[state]);
    show(row.children[2], shown(reason || ''));
  });
}
