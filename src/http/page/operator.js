// What is for whoever runs the server: failures, disk, cleanup.

import * as server from './server.js';
import { byId, element, show } from './torrents.js';
import { bytes, many, shown, time } from './words.js';

export class Operator {
  constructor(say) {
    this.say = say;
    this.rows = [];
    byId('clear').addEventListener('click', () => this.clear());
    byId('cleanup').addEventListener('click', () => this.look());
    byId('cleanup-no').addEventListener('click', () => this.settle(''));
    byId('cleanup-yes').addEventListener('click', () => this.clean());
    setInterval(() => this.tick(), 1000);
    setInterval(() => { if (!document.hidden) this.refresh(); }, 5000);
  }

  async refresh() {
    try {
      const { failed } = await server.json('GET', 'admin/failed-torrents');
      const at = Date.now();
      this.rows = failed.map((row) => ({ ...row, until: at + row.retry_in_seconds * 1000 }));
      this.draw();
    } catch { byId('failed-card').hidden = true; /* not ours to see, or the server is away */ }
    try {
      this.health(await server.json('GET', 'health'));
    } catch { /* unwell, or away: the list of torrents says so */ }
  }

  health({ status, details }) {
    byId('disk-card').hidden = !details;
    if (!details) return;
    const { temp_bytes: kept, disk_free_bytes: free, dht_nodes: nodes, version, uptime_seconds: up } = details;
    byId('disk').value = free === null ? 0 : kept / Math.max(1, kept + free);
    show(byId('disk-word'), `${bytes(kept)} kept${free === null ? '' : `, ${bytes(free)} free`}`);
    const words = [`swarmcat ${version}`, `up ${time(up)}`];
    if (nodes !== null) words.push(many(nodes, 'DHT node'));
    if (status !== 'ok') words.push(...details.troubles);
    show(byId('about'), words.join(' · '));
  }

  draw() {
    byId('failed-card').hidden = !this.rows.length;
    const body = byId('failed');
    const had = body.contains(document.activeElement) ? [...body.rows].findIndex((row) => row.contains(document.activeElement)) : -1;
    body.replaceChildren(...this.rows.map((row) => this.row(row)));
    if (had >= 0) (body.rows[Math.min(had, body.rows.length - 1)]?.querySelector('button') || byId('source')).focus();
    this.tick();
  }

  row(row) {
    const clear = element('button', { type: 'button', className: 'quiet', textContent: 'Clear' });
    clear.setAttribute('aria-label', `Clear ${row.info_hash}`);
    clear.addEventListener('click', () => this.forget(row.info_hash));
    const times = row.attempts > 1 ? ` (${row.attempts} times in a row)` : '';
    const hash = element('code', { textContent: row.info_hash, title: row.info_hash });
    return element('tr', {},
      element('td', {}, hash, element('span', { className: 'dim', textContent: shown(row.reason) + times })),
      element('td', { className: 'left' }), element('td', {}, clear));
  }

  tick() {
    const cells = byId('failed').querySelectorAll('.left');
    this.rows.forEach((row, at) => { if (cells[at]) show(cells[at], time(Math.max(0, (row.until - Date.now()) / 1000))); });
    if (this.rows.some((row) => row.until <= Date.now())) {
      this.rows = this.rows.filter((row) => row.until > Date.now());
      this.draw();
    }
  }

  async forget(hash) {
    await this.attempt(() => server.json('DELETE', `admin/failed-torrents/${hash}`), () => 'Cleared');
  }

  async clear() {
    await this.attempt(() => server.json('POST', 'admin/failed-torrents/clear'),
      ({ cleared }) => `Cleared ${many(cleared, 'failure')}`);
  }

  async attempt(work, words) {
    try {
      this.say(words(await work()));
    } catch (problem) {
      this.say(problem.message);
    }
    await this.refresh();
  }

  settle(word) {
    byId('cleanup').hidden = false;
    byId('cleanup-yes').hidden = true;
    byId('cleanup-no').hidden = true;
    show(byId('cleanup-word'), word);
  }

  // First what would go, then whether it shall.
  async look() {
    try {
      const { removed, freed_bytes: freed } = await server.json('POST', 'admin/cleanup?older_than=0s&dry_run=1');
      if (!removed.length) return this.settle('Nothing to clean up: nothing is kept, or all of it is in use');
      this.settle(`${many(removed.length, 'torrent')} that nobody reads, ${bytes(freed)}`);
      byId('cleanup').hidden = true;
      byId('cleanup-no').hidden = false;
      Object.assign(byId('cleanup-yes'), { hidden: false, textContent: `Delete ${bytes(freed)}` }).focus();
    } catch (problem) {
      this.settle(problem.message);
    }
  }

  async clean() {
    try {
      const { removed, freed_bytes: freed } = await server.json('POST', 'admin/cleanup?older_than=0s');
      this.settle(`Deleted ${many(removed.length, 'torrent')}, ${bytes(freed)}`);
    } catch (problem) {
      this.settle(problem.message);
    }
    byId('cleanup').focus();
    await this.refresh();
  }
}
