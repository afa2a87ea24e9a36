// Numbers and states in words. Names are foreign text: they are only ever shown through `shown`, as text.

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

export function bytes(count) {
  let unit = 0;
  for (; count >= 999.5 && unit < UNITS.length - 1; unit += 1) count /= 1000;
  return `${unit && count < 9.95 ? count.toFixed(1) : Math.round(count)} ${UNITS[unit]}`;
}

export const rate = (count) => `${bytes(count)}/s`;

export function time(seconds) {
  if (!Number.isFinite(seconds)) return '';
  const [s, m, h] = [Math.ceil(seconds), Math.ceil(seconds / 60), seconds / 3600];
  if (s < 100) return `${s} s`;
  if (m < 100) return `${m} min`;
  return h < 48 ? `${Math.round(h)} h` : `${Math.round(h / 24)} d`;
}

export const percent = (part, whole) => (whole ? `${Math.floor((part / whole) * 100)} %` : '');

export const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

// What would turn, hide or break a line becomes visible.
export const shown = (name) =>
  name.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, '\ufffd');

export const nameOf = (torrent) => (torrent.name ? shown(torrent.name) : torrent.info_hash);

export const fileName = (path) => shown(path.split('/').pop() || path);

export const PEER_STATES = {
  waiting: 'not dialled yet', connecting: 'being dialled', greeted: 'greeted', choked: 'chokes us', unchoked: 'idle',
  sending: 'sends', silent: 'silent', refused: 'refused', left: 'left', banned: 'banned',
};

export const STATES = { searching: 'searching', downloading: 'downloading', paused: 'resting', complete: 'complete' };

function searching({ search, peers }) {
  const asked = [];
  if (search.dht_nodes !== null) asked.push(many(search.dht_nodes, 'DHT node'));
  if (search.trackers) asked.push(`${search.trackers_answered} of ${many(search.trackers, 'tracker')} answered`);
  asked.push(`${many(peers.seen, 'address', 'addresses')} learnt`);
  if (search.phase === 'metadata' || peers.connected) {
    const got = search.metadata_bytes ? `, ${bytes(search.metadata_bytes)} so far` : '';
    return `Asking ${many(peers.connected, 'peer')} what is in it${got}`;
  }
  const dialling = peers.connecting ? `, dialling ${peers.connecting}` : '';
  return `Looking for peers: ${asked.join(', ')}${dialling}`;
}

// What a torrent does right now, and what is waited for.
export function now(torrent) {
  const { state, peers, awaited, download_rate: down } = torrent;
  if (state === 'searching') return searching(torrent);
  if (state === 'complete') {
    const here = torrent.verified < torrent.length ? 'All that was asked for is here' : 'All of it is here';
    return torrent.readers ? `${here}, and being read` : here;
  }
  const senders = peers.sending
    ? `${many(peers.sending, 'peer')} sent data, ${rate(down)}`
    : peers.connected && !peers.unchoked ? `${many(peers.connected, 'peer')} connected, none lets us ask yet`
    : `${many(peers.connected, 'peer')} connected, none has sent data yet`;
  if (awaited.length) {
    const pieces = awaited.length === 1 ? `piece ${awaited[0]}` : `pieces ${awaited.slice(0, 4).join(', ')}`;
    return `Waiting for ${pieces}: ${peers.connected ? senders : `no peer is connected, ${peers.seen} known`}`;
  }
  if (state === 'paused') return 'Resting: nothing is fetched until somebody reads it';
  return `Fetching ahead: ${senders}`;
}
