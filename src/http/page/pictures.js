// The two pictures: which pieces are here, and how fast they come. Colours are the style sheet's.

export const SPAN = 300;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const GLOW = 900;

function prepared(canvas, height) {
  const width = canvas.clientWidth || canvas.parentElement.clientWidth;
  const scale = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  return { context, width, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
}

export function decoded(hex) {
  const bits = new Uint8Array(hex.length * 4);
  for (let digit = 0; digit < hex.length; digit += 1) {
    const value = parseInt(hex[digit], 16);
    for (let bit = 0; bit < 4; bit += 1) bits[digit * 4 + bit] = (value >> (3 - bit)) & 1;
  }
  return bits;
}

// The largest cells that fit; below the smallest, a cell stands for several pieces.
function grid(pieces, width) {
  const tall = 148;
  for (let size = 16; size >= 5; size -= 1) {
    const columns = Math.max(1, Math.floor((width + 2) / size));
    const rows = Math.ceil(pieces / columns);
    if (rows * size <= tall) return { size, columns, rows, each: 1, cells: pieces };
  }
  const size = 5;
  const columns = Math.max(1, Math.floor(width / size));
  const rows = Math.floor(tall / size);
  const each = Math.ceil(pieces / (columns * rows));
  const cells = Math.ceil(pieces / each);
  return { size, columns, rows: Math.ceil(cells / columns), each, cells };
}

export class PieceMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.arrived = new Map();
    this.last = null;
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  // `file` is the one that is chosen: the pieces of others are dimmed.
  show(torrent, file) {
    const pieces = torrent.piece_length ? Math.ceil(total(torrent) / torrent.piece_length) : 0;
    const have = decoded(torrent.have).subarray(0, pieces);
    const before = this.last?.hash === torrent.info_hash ? this.last.have : null;
    if (!before) this.arrived.clear();
    if (before && !calm.matches) have.forEach((is, piece) => { if (is && !before[piece]) this.arrived.set(piece, performance.now()); });
    const piece = (offset) => Math.floor(offset / torrent.piece_length);
    const heads = torrent.positions.flatMap(({ file: index, offset }) => {
      const at = torrent.files.find((one) => one.index === index);
      return at ? [piece(at.offset + Math.min(offset, Math.max(0, at.length - 1)))] : [];
    });
    const own = file && file.length ? [piece(file.offset), piece(file.offset + file.length - 1)] : [0, pieces];
    this.last = { hash: torrent.info_hash, pieces, have, heads, awaited: torrent.awaited, own };
    this.draw();
    return { pieces, here: have.reduce((sum, bit) => sum + bit, 0), heads };
  }

  draw() {
    const { last } = this;
    if (!last?.pieces || !this.canvas.parentElement.clientWidth) return;
    const { size, columns, rows, each, cells } = grid(last.pieces, this.canvas.parentElement.clientWidth - this.inset());
    const { context, colour } = prepared(this.canvas, rows * size);
    const gap = size > 7 ? 2 : 1;
    const [have, lack, wait, ink] = ['have', 'lack', 'ginger', 'ink'].map(colour);
    const waited = new Set(last.awaited.map((piece) => Math.floor(piece / each)));
    const read = new Set(last.heads.map((piece) => Math.floor(piece / each)));
    const moment = performance.now();
    const place = (cell) => [(cell % columns) * size, Math.floor(cell / columns) * size];
    for (let cell = 0; cell < cells; cell += 1) {
      const [x, y] = place(cell);
      const from = cell * each;
      const to = Math.min(from + each, last.pieces);
      let here = 0;
      let glow = 0;
      for (let piece = from; piece < to; piece += 1) {
        here += last.have[piece];
        const at = this.arrived.get(piece);
        if (at !== undefined) glow = Math.max(glow, 1 - (moment - at) / GLOW);
      }
      const dim = to <= last.own[0] || from > last.own[1] ? 0.35 : 1;
      const box = (fill, alpha) => {
        context.globalAlpha = alpha * dim;
        context.fillStyle = fill;
        context.beginPath();
        context.roundRect(x, y, size - gap, size - gap, size > 8 ? 3 : 1);
        context.fill();
      };
      box(lack, 1);
      if (here) box(have, here / (to - from));
      if (glow > 0) box(ink, glow * 0.6);
      if (waited.has(cell)) box(wait, 1);
    }
    context.globalAlpha = 1;
    context.strokeStyle = ink;
    context.lineWidth = 2;
    for (const cell of read) {
      const [x, y] = place(cell);
      context.strokeRect(x, y, size - gap, size - gap);
    }
    for (const [piece, at] of this.arrived) if (moment - at > GLOW) this.arrived.delete(piece);
    if (this.arrived.size && !this.frame) {
      this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
    }
  }

  inset() {
    const style = getComputedStyle(this.canvas.parentElement);
    return parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
  }
}

// The end of the last file: padding lies between files, so their lengths alone do not add up to it.
const total = ({ files, length }) => files.reduce((end, file) => Math.max(end, file.offset + file.length), length || 0);

const line = (context, points) => points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));

// `samples` are [down, up] for each of the last seconds, the latest last. Says how many minutes the picture has.
export function plot(canvas, samples, say) {
  const height = 96;
  const { context, width, colour } = prepared(canvas, height);
  const most = Math.max(1000, ...samples.flat());
  const base = height - 17;
  const span = Math.min(SPAN, Math.max(60, Math.ceil(samples.length / 60) * 60));
  const x = (at) => width - ((samples.length - 1 - at) / (span - 1)) * width;
  const y = (value) => base - (value / most) * (base - 16);
  context.strokeStyle = colour('line');
  context.fillStyle = colour('dim');
  context.font = '11px system-ui, sans-serif';
  context.textAlign = 'left';
  context.lineWidth = 1;
  for (const [value, word] of [[most, say(most)], [0, '']]) {
    context.beginPath();
    line(context, [[0, y(value) + 0.5], [width, y(value) + 0.5]]);
    context.stroke();
    context.fillText(word, 0, y(value) - 4);
  }
  context.fillText(`${span / 60} min ago`, 0, height - 3);
  context.textAlign = 'right';
  context.fillText('now', width, height - 3);
  const downs = samples.map(([down], at) => [x(at), y(down)]);
  if (!downs.length) return span / 60;
  context.beginPath();
  line(context, [...downs, [width, base], [downs[0][0], base]]);
  context.globalAlpha = 0.22;
  context.fillStyle = colour('have');
  context.fill();
  context.globalAlpha = 1;
  context.lineWidth = 2;
  context.lineJoin = 'round';
  for (const [points, stroke] of [[downs, 'have'], [samples.map(([, up], at) => [x(at), y(up)]), 'ginger']]) {
    context.strokeStyle = colour(stroke);
    context.beginPath();
    line(context, points);
    context.stroke();
  }
  return span / 60;
}
