// Plays one file in the page, hands it to players, and says why when it does not play.

import * as server from './server.js';
import { byId, element, show } from './torrents.js';
import { fileName, shown } from './words.js';

const video = byId('video');

// The server's links are for any device; here the same is asked for below the page's own path.
const local = (url, root) => {
  const { pathname, search } = new URL(url);
  return pathname.slice(pathname.indexOf(root)) + search;
};

const link = async (hash, query) => (await server.json('GET', `torrents/${hash}/link?${query}`)).url;

export const links = {
  stream: (hash, index) => link(hash, `file=${index}`),
  playlist: (hash) => link(hash, 'playlist=1'),
};

// The command names the torrent by what was pasted, when that was a magnet; never a file by its name, which is a stranger's.
export function command(hash, index, magnet) {
  const source = magnet ? `'${magnet.replaceAll("'", '%27')}'` : hash;
  return `swarmcat stream ${source} -i ${index} | mpv -`;
}

// The clipboard is only there for pages of this machine and by https; elsewhere the old way still works.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* the old way */ }
  const field = element('textarea', { value: text, readOnly: true, className: 'unseen' });
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}

export class Player {
  constructor(onTrouble) {
    this.onTrouble = onTrouble;
    this.playing = null;
    video.addEventListener('error', () => this.failed());
    video.addEventListener('playing', () => this.say(''));
    video.addEventListener('waiting', () => this.say('Waiting for the swarm'));
    video.addEventListener('loadedmetadata', () => this.say(''));
  }

  say(word) {
    show(byId('screen-word'), word);
    byId('screen-word').hidden = !word;
  }

  stop() {
    this.playing = null;
    video.pause();
    video.removeAttribute('src');
    video.replaceChildren();
    video.load();
    video.hidden = true;
    byId('play').hidden = false;
    this.say('');
  }

  async play(torrent, file) {
    this.stop();
    const playing = { hash: torrent.info_hash, file, source: '' };
    this.playing = playing;
    this.last = playing;
    byId('play').hidden = true;
    this.say('Waiting for the first bytes');
    try {
      playing.source = local(await links.stream(torrent.info_hash, file.index), 'stream/proxy/');
      const tracks = await Promise.all(torrent.files.filter((one) => one.subtitles_of === file.index).slice(0, 20)
        .map((one) => this.track(torrent.info_hash, one, file)));
      if (this.playing !== playing) return;
      this.start(playing.source, tracks);
    } catch (problem) {
      if (this.playing === playing) this.refused(problem);
    }
  }

  start(source, tracks) {
    video.hidden = false;
    video.replaceChildren(...tracks);
    video.src = source;
    // Nobody types any more: a phone's keyboard goes, and the keys are the video's.
    if (document.activeElement === byId('source')) video.focus({ preventScroll: true });
    video.play().catch(() => { /* the browser wants a touch first; its controls are there */ });
  }

  async track(hash, subtitles, file) {
    const signed = new URL(await links.stream(hash, subtitles.index)).search;
    const [name, own] = [fileName(subtitles.path), fileName(file.path).replace(/\.[^.]*$/, '')];
    const label = name.replace(/\.[^.]*$/, '').replace(own, '').replace(/^[\s._-]+/, '') || name;
    return element('track', { kind: 'subtitles', label, src: `subtitles/${hash}/${subtitles.index}.vtt${signed}` });
  }

  // A video element does not tell a server's refusal from a file that it cannot decode; the server does.
  async failed() {
    const { playing } = this;
    if (!playing || !video.getAttribute('src')) return;
    try {
      await server.probe(playing.source);
      if (this.playing !== playing) return;
      const kind = shown(playing.file.path).split('.').pop();
      this.refused(new Error(`This browser cannot play this file (${kind}). A player can: copy the stream URL into mpv or VLC, or open the playlist.`));
    } catch (problem) {
      if (this.playing === playing) this.refused(problem);
    }
  }

  refused(problem) {
    this.stop();
    this.onTrouble(problem);
  }

  async force() {
    const { hash, file } = this.last;
    await server.probe(`stream/proxy/${hash}/${file.index}/file?force=1`);
  }
}
