// Canvas of SignalCanvas: draws a recording and its correction from tiles that the kernel sends.
// A tile is [signal, level, index, group]: up to BINS bins of FACTOR**level samples, GROUP channels.
const FACTOR = 4, BINS = 1024, GROUP = 8, MISSING = -32768;
const CACHE_BYTES = 96e6, IN_FLIGHT = 8, PATIENCE_MS = 8000, SETTLE_MS = 300;
const LEFT = 64, RIGHT = 8, TOP = 24, AXIS = 20, OVERVIEW = 20, HEIGHT = 380;
const SPECTRUM_LEAST = [620, 170]; // a smaller picture has no spectrum beside it
const SPANS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
const KEYS = "Arrow keys scroll through time and channels, + and − change the amplitude, " +
  "[ and ] the time shown, Space swaps before and after, A chooses the amplitude, T shows the truth, D the difference.";

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const nice = x => { // the smallest of 1, 2, 5, 10, … that is not below x
  const step = 10 ** Math.floor(Math.log10(Math.max(x, 1e-3)));
  return [1, 2, 5, 10].map(m => m * step).find(v => v >= x * (1 - 1e-9));
};
const niceBelow = x => { // the largest of them that is not above x
  const step = 10 ** Math.floor(Math.log10(Math.max(x, 1e-3)));
  return [5, 2, 1].map(m => m * step).find(v => v <= x * (1 + 1e-9)) ?? step;
};
const write = uv => uv >= 1000 ? `${+(uv / 1000).toPrecision(3)} mV` : `${+uv.toPrecision(3)} µV`;
const nextOf = (list, x, up) => up ? list.find(v => v > x * 1.001) ?? list.at(-1)
  : list.findLast(v => v < x * 0.999) ?? list[0];

// ------------------------------------------------------------------ tiles, shared by all views
function makeStore() {
  const tiles = new Map(), flight = new Map(), views = new Set(), failed = new Map();
  const store = { tiles, views, failed, model: null, version: 0, bytes: 0, received: 0, overview: false };

  store.receive = (message, buffers) => {
    if (message.version !== store.version) return;
    if (message.kind === "spectrum") { for (const view of views) view.takeSpectrum(message, buffers); return; }
    if (message.kind === "overview") store.overview = true;
    else {
      const id = message.tile.join("/");
      store.known = message.known ? { signal: message.tile[0], counts: message.known } : null;
      if (message.known) flight.set(id, performance.now()); // the kernel is at it
      else flight.delete(id);
      if (message.kind === "error") failed.set(id, message.text);
      else if (message.kind === "tile") store.keep(id, message, buffers);
    }
    for (const view of views) view.redraw();
    if (flight.size === 0 && message.kind !== "overview") store.send({ kind: "drawn" });
  };

  store.send = message => {
    try {
      store.model.send({ ...message, version: store.version });
    } catch { // the kernel was restarted: what is here can still be looked at
      for (const view of views) view.lose();
    }
  };

  store.keep = (id, message, [codes, scales]) => {
    const own = b => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength); // aligned for any offset
    const values = new Int16Array(own(codes)), scale = new Float32Array(own(scales));
    const n = message.n_channels, size = message.tile[1] ? 2 : 1;
    store.bytes -= tiles.get(id)?.values.byteLength ?? 0; // a part of the same tile
    tiles.set(id, { values, n, size, bins: values.length / n / size, part: Boolean(message.known),
      offset: scale.subarray(0, n), step: scale.subarray(n) });
    store.bytes += values.byteLength;
    store.received += values.byteLength;
    for (const [old, tile] of tiles) {
      if (store.bytes <= CACHE_BYTES) break;
      store.bytes -= tile.values.byteLength;
      tiles.delete(old);
    }
  };

  store.find = id => { // the least recently used tile comes first
    const tile = tiles.get(id);
    if (tile) { tiles.delete(id); tiles.set(id, tile); }
    return tile;
  };

  const isThere = id => failed.has(id) || (tiles.has(id) && !tiles.get(id).part);
  store.isWhole = places => places.every(p => isThere(p.join("/")));

  store.want = (places, overview) => {
    const now = performance.now();
    for (const [id, since] of flight) if (now - since > PATIENCE_MS) flight.delete(id);
    const missing = places.filter(p => !isThere(p.join("/")));
    const asked = missing.slice(0, IN_FLIGHT), ids = asked.map(p => p.join("/"));
    if (ids.every(id => flight.has(id)) && !overview) return;
    const since = ids.map(id => flight.get(id) ?? now);
    flight.clear(); // the kernel forgets earlier requests, too
    ids.forEach((id, i) => flight.set(id, since[i]));
    store.send({ kind: "want", tiles: asked, overview });
  };

  store.renew = () => { // other signals
    tiles.clear(); flight.clear(); failed.clear();
    store.bytes = 0;
    store.overview = false;
    store.known = null;
    store.version = store.model.get("meta").version ?? 0;
    for (const view of views) view.renew();
  };
  return store;
}

function readColour(text) { // of any notation
  const dot = document.createElement("canvas").getContext("2d");
  dot.fillStyle = text;
  dot.fillRect(0, 0, 1, 1);
  return dot.getImageData(0, 0, 1, 1).data;
}
function isDark(el) { // as the page is: what a user prefers counts only where the page says nothing
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset; // Jupyter and Voilà; VS Code
  if (jpThemeLight !== undefined) return jpThemeLight === "false";
  if (vscodeThemeKind) return !vscodeThemeKind.endsWith("light");
  const colab = document.documentElement.getAttribute("theme");
  if (colab) return colab === "dark";
  for (let node = el; node; node = node.parentNode ?? node.host) { // also out of a shadow root
    if (!(node instanceof Element)) continue;
    const [r, g, b, alpha] = readColour(getComputedStyle(node).backgroundColor);
    if (alpha > 128) return 0.3 * r + 0.6 * g + 0.1 * b < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

// --------------------------------------------------------------------------------- one view
function makeView(store, el) {
  const model = store.model;
  const make = (tag, name, parent, more = {}) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    Object.assign(node, more);
    parent?.append(node);
    return node;
  };
  const root = make("div", "fnb-sv", el);
  const bar = make("div", "fnb-sv-bar", root);
  const row = make("div", "fnb-sv-row", root);
  const stage = make("div", "fnb-sv-stage", row);
  const spectrum = make("canvas", "fnb-sv-spectrum", row, { tabIndex: 0 });
  spectrum.setAttribute("role", "img");
  spectrum.setAttribute("aria-label", "Spectrum of the window");
  const says_of = make("div", "fnb-sv-difference", stage);
  const plot = make("canvas", "fnb-sv-plot", stage, { tabIndex: 0 });
  const over = make("canvas", "", stage);
  over.style.pointerEvents = "none";
  const wipe = make("div", "fnb-sv-wipe", stage, { tabIndex: 0 });
  const tags = ["raw", "fix"].map(kind => make("span", `fnb-sv-tag fnb-sv-tag-${kind}`, stage));
  const says = make("p", "fnb-sv-says", root);
  for (const [name, value] of [["role", "slider"], ["aria-label", "Before left of here, after right of it"],
    ["aria-valuemin", "0"], ["aria-valuemax", "100"]]) wipe.setAttribute(name, value);
  plot.setAttribute("role", "img");
  plot.title = KEYS;

  let width = 0, height = HEIGHT, dpr = 1, colours = {}, frame = 0, later = 0, lost = false;
  let meta = {}, markers = new Float64Array(0), direction = 1, stats = { frames: 0, parents: 0 };
  const view = { begin_s: 0, span_s: 5, channels: [], scale_uv: [0, 0], wipe: 0.46, what: "signal", truth: false };
  const auto = [0, 0], fitted = [false, false]; // scales, and whether they fit the whole window
  const refit = () => { auto.fill(0); fitted.fill(false); };
  root.fnbStats = stats;
  root.fnbStore = store;

  // ------------------------------------------------------------------------------ toolbar
  const group = label => {
    const box = make("span", "fnb-sv-group", bar);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", label);
    return box;
  };
  const press = (parent, text, label, act) => {
    const button = make("button", "", parent, { type: "button", textContent: text, onclick: act });
    button.setAttribute("aria-label", label);
    return button;
  };
  const sides = group("What is shown");
  const choices = [["Before", { wipe: 1 }], ["Before | after", { wipe: 0.46 }], ["After", { wipe: 0 }], ["Removed", { what: "removed" }],
    ["Difference", { what: "difference" }]].map(([text, to]) =>
    press(sides, text, text.replace("|", "and"), () => change({ what: "signal", ...to })));
  choices[3].setAttribute("aria-label", "What was removed");
  const truthGroup = group("Truth");
  const truthButton = press(truthGroup, "truth", "The known truth, under the corrected signal", () => change({ truth: !view.truth }));
  const stepper = (label, act) => {
    const box = group(label);
    press(box, "−", `${label}: less`, () => act(-1));
    const text = make("span", "", box);
    press(box, "+", `${label}: more`, () => act(1));
    return text;
  };
  const scaleText = stepper("Amplitude per channel", way => rescale(way < 0 ? 0.5 : 2));
  const spanText = stepper("Time shown", way => zoom(way > 0));
  const channelText = stepper("Channels", way => count(way));

  // ------------------------------------------------------------------------------ changes
  const duration = () => meta.duration_s || 0;
  const at = label => (meta.signals || []).findIndex(s => s.label === label);
  const after = () => Math.max(at("corrected"), at("preview"));
  const has = i => i ? after() > 0 : (meta.signals || []).length > 0;
  const what = () => view.what !== "signal" && at(view.what) >= 0 ? view.what : "signal";
  const wiped = () => !has(1) ? 1 : what() === "difference" ? 0 : what() === "removed" ? 1 : view.wipe;
  // What is drawn: signal, first and last column, colour, whose scale (0 before, 1 after), width of a band.
  function partsOf(nColumns) {
    const split = Math.round(wiped() * nColumns), kind = what();
    if (kind === "removed") return [[at("removed"), 0, nColumns, "raw", 0, 0]];
    if (kind === "difference") return [[after(), 0, nColumns, "edge", 1, 0], [at("difference"), 0, nColumns, "fix", 1, 0]].filter(p => p[0] >= 0);
    const found = [[0, 0, split, "raw", 0, 0]];
    if (view.truth && has(1) && at("truth") >= 0) found.push([at("truth"), split, nColumns, "truth", 1, 2]);
    if (has(1)) found.push([after(), split, nColumns, "fix", 1, 0]);
    return found.filter(p => p[2] > p[1]);
  }

  function change(values, quiet = false) {
    if (values.begin_s !== undefined) direction = Math.sign(values.begin_s - view.begin_s) || direction;
    Object.assign(view, values);
    view.span_s = clamp(view.span_s, 0.02, Math.max(duration(), 0.02));
    view.begin_s = clamp(view.begin_s, 0, Math.max(0, duration() - view.span_s));
    view.wipe = clamp(view.wipe, 0, 1);
    redraw();
    if (quiet) return;
    clearTimeout(later);
    later = setTimeout(tell, SETTLE_MS);
  }
  function tell() {
    const before = model.get("view") || {};
    if (lost || JSON.stringify(before) === JSON.stringify(view)) return;
    model.set("view", { ...view });
    try { model.save_changes(); } catch { lose(); }
  }
  function zoom(wider, at = view.begin_s + view.span_s / 2) {
    const span_s = Math.min(nextOf(SPANS, view.span_s, wider), Math.max(duration(), 0.02));
    change({ span_s, begin_s: at - (at - view.begin_s) * span_s / view.span_s });
  }
  function rescale(factor, which = sideInFocus()) {
    const scale_uv = [...view.scale_uv];
    for (const i of which) scale_uv[i] = nice((scale_uv[i] || auto[i] || 100) * factor * (factor < 1 ? 0.99 : 1));
    change({ scale_uv });
  }
  // The scale of the side that is in the foreground: the corrected one while it can be seen.
  const sideInFocus = () => what() === "removed" ? [0] : what() === "difference" || has(1) && view.wipe < 0.98 ? [1] : [0];
  function count(way) {
    const n = (meta.names || []).length, now = view.channels.length || 1;
    const wanted = clamp(way > 0 ? Math.ceil(now * 1.5) : Math.floor(now / 1.5), 1, n);
    const first = clamp(view.channels[0] ?? 0, 0, n - wanted);
    refit();
    change({ channels: Array.from({ length: wanted }, (_, i) => first + i) });
  }
  function scrollChannels(by) {
    const n = (meta.names || []).length, m = view.channels.length;
    const first = clamp((view.channels[0] ?? 0) + by, 0, Math.max(0, n - m));
    if (first !== view.channels[0]) change({ channels: Array.from({ length: m }, (_, i) => first + i) });
  }

  // ------------------------------------------------------------------------------ drawing
  const plotWidth = () => Math.max(10, width - LEFT - RIGHT);
  const plotHeight = () => height - TOP - AXIS - OVERVIEW;
  const xOf = t => LEFT + (t - view.begin_s) / view.span_s * plotWidth();
  const tOf = x => view.begin_s + (x - LEFT) / plotWidth() * view.span_s;
  const redraw = () => { frame ||= requestAnimationFrame(draw); };

  function levelOf(i) {
    const { sfreq, n_levels } = meta.signals[i];
    const perPixel = view.span_s * sfreq / plotWidth();
    return clamp(Math.floor(Math.log(Math.max(perPixel, 1)) / Math.log(FACTOR)), 0, n_levels - 1);
  }
  function tilesOf(i, begin_s, end_s) {
    const { sfreq, offset_s, n_times } = meta.signals[i], level = levelOf(i);
    const size = BINS * FACTOR ** level, last = Math.floor((n_times - 1) / size);
    const from = clamp(Math.floor((begin_s - offset_s) * sfreq / size), 0, last);
    const to = clamp(Math.floor((end_s - offset_s) * sfreq / size), 0, last);
    const groups = [...new Set(view.channels.map(c => Math.floor(c / GROUP)))];
    const places = [];
    for (let k = from; k <= to; k++) for (const g of groups) places.push([i, level, k, g]);
    return places;
  }
  // The values of columns [c0, c1) of one channel: lowest, highest; NaN where nothing is known.
  function columns(i, channel, c0, c1, low, high) {
    const { sfreq, offset_s, n_times, n_levels } = meta.signals[i];
    const g = Math.floor(channel / GROUP), row = channel % GROUP;
    const perColumn = view.span_s * sfreq / (plotWidth() * dpr);
    const origin = (view.begin_s - offset_s) * sfreq, wanted = levelOf(i);
    let level = -1, index = -1, tile = null, size = 1;
    for (let c = c0; c < c1; c++) {
      const p0 = origin + c * perColumn, p1 = p0 + perColumn;
      low[c] = high[c] = NaN;
      if (p1 <= 0 || p0 >= n_times) continue;
      const at = clamp(p0, 0, n_times - 1);
      if (!tile || Math.floor(at / (BINS * size)) !== index) {
        for (level = wanted, tile = null; level < n_levels && !tile; level++) {
          size = FACTOR ** level;
          index = Math.floor(at / (BINS * size));
          tile = store.find([i, level, index, g].join("/"));
          if (!tile) stats.parents += level === wanted;
          else break;
        }
        if (!tile) { size = FACTOR ** wanted; index = Math.floor(at / (BINS * size)); continue; }
      }
      const { values, bins, offset, step } = tile, start = row * bins;
      if (!Number.isFinite(step[row])) continue;
      if (tile.size === 1) {
        const q = at - index * BINS, b = Math.min(Math.floor(q), bins - 1);
        if (perColumn < 1) { // between samples: a straight line
          const f = b + 1 < bins ? q - b : 0, v0 = values[start + b], v1 = values[start + Math.min(b + 1, bins - 1)];
          if (v0 !== MISSING && v1 !== MISSING) low[c] = high[c] = offset[row] + step[row] * (v0 + f * (v1 - v0));
          continue;
        }
        const end = Math.min(Math.max(b + 1, Math.ceil(p1 - index * BINS)), bins);
        for (let k = b; k < end; k++) {
          const v = values[start + k];
          if (v === MISSING) continue;
          if (!(low[c] <= v)) low[c] = v;
          if (!(high[c] >= v)) high[c] = v;
        }
      } else {
        const b = Math.min(Math.floor((at - index * BINS * size) / size), bins - 1);
        const end = Math.min(Math.max(b + 1, Math.floor((p1 - index * BINS * size) / size)), bins);
        for (let k = b; k < end; k++) {
          const lo = values[2 * (start + k)], hi = values[2 * (start + k) + 1];
          if (lo === MISSING || hi === MISSING) continue;
          if (!(low[c] <= lo)) low[c] = lo;
          if (!(high[c] >= hi)) high[c] = hi;
        }
      }
      low[c] = offset[row] + step[row] * low[c];
      high[c] = offset[row] + step[row] * high[c];
    }
  }
  function paint(pixels, W, H, low, high, c0, c1, centre, pxPerUv, y0, colour, top, bottom, band) {
    const thick = Math.max(0, Math.round(dpr) - 1);
    let before0 = NaN, before1 = NaN;
    for (let c = c0; c < c1; c++) {
      if (low[c] !== low[c]) { before0 = NaN; continue; }
      let a = Math.round(y0 - (high[c] - centre) * pxPerUv), b = Math.round(y0 - (low[c] - centre) * pxPerUv);
      const next0 = a, next1 = b;
      if (before0 === before0) { // reach the column before
        if (a > before1) a = before1;
        if (b < before0) b = before0;
      }
      before0 = next0; before1 = next1;
      a = clamp(a - band, top, bottom - 1); b = clamp(b + band + thick, top, bottom - 1);
      const x = Math.round(LEFT * dpr) + c;
      for (let y = a, at = a * W + x; y <= b; y++, at += W) pixels[at] = colour;
      if (thick) for (let y = a, at = a * W + x + 1; y <= b && x + 1 < W; y++, at += W) pixels[at] = colour;
    }
  }
  function choose(i, ranges, spreads) { // a distance of channels that fits the whole window
    const sorted = (i === 0 ? ranges : spreads).filter(Number.isFinite).sort((a, b) => a - b);
    if (!sorted.length) return 0;
    return i === 0 ? nice(0.9 * sorted[Math.floor(0.75 * (sorted.length - 1))] || 100)
      : nice(4 * sorted[Math.floor(0.5 * (sorted.length - 1))] || 10);
  }

  function draw() {
    frame = 0;
    if (!width || !meta.signals) return;
    stats.frames++;
    const W = plot.width, H = plot.height, context = plot.getContext("2d");
    const image = context.createImageData(W, H), pixels = new Uint32Array(image.data.buffer);
    const n = view.channels.length, nColumns = Math.floor(plotWidth() * dpr);
    const pitch = plotHeight() * dpr / Math.max(n, 1), top = Math.round(TOP * dpr);
    const bottom = Math.round((TOP + plotHeight()) * dpr);
    const low = new Float32Array(nColumns), high = new Float32Array(nColumns);
    const parts = partsOf(nColumns);
    const drawn = parts.map(([i, c0, c1]) => {
      return view.channels.map(channel => {
        columns(i, channel, c0, c1, low, high);
        let sum = 0, square = 0, m = 0, least = Infinity, most = -Infinity;
        for (let c = c0; c < c1; c++) if (low[c] === low[c]) {
          const mid = (low[c] + high[c]) / 2;
          sum += mid; square += mid * mid; m++;
          if (low[c] < least) least = low[c];
          if (high[c] > most) most = high[c];
        }
        const mean = m ? sum / m : NaN;
        return { low: low.slice(c0, c1), high: high.slice(c0, c1), mean, range: m ? most - least : NaN,
          spread: m ? Math.sqrt(Math.max(0, square / m - mean * mean)) + (most - least) / 20 : NaN };
      });
    });
    parts.forEach(([i, c0, c1, , side], k) => { // the truth follows the scale of the corrected signal
      const leads = k === parts.findIndex(p => p[4] === side && p[3] !== "truth");
      if (fitted[side] || !leads || !drawn[k].some(f => Number.isFinite(f.range))) return;
      auto[side] = choose(side, drawn[k].map(f => f.range), drawn[k].map(f => f.spread));
      fitted[side] = store.isWhole(tilesOf(i, ...[c0, c1].map(c => view.begin_s + view.span_s * c / nColumns)));
    });
    parts.forEach(([, c0, c1, name, side, band], k) => {
      const scale = view.scale_uv[side] || auto[side] || 100;
      drawn[k].forEach((f, row) => {
        low.set(f.low, c0); high.set(f.high, c0);
        paint(pixels, W, H, low, high, c0, c1, f.mean, pitch / scale, top + pitch * (row + 0.5), colours[name + "32"], top, bottom, Math.round(band * dpr));
      });
    });
    context.putImageData(image, 0, 0);
    dress(n, pitch / dpr);
    ask();
  }

  function dress(n, pitch) { // texts, markers, findings, scale bars and the overview
    const c = over.getContext("2d");
    c.setTransform(dpr, 0, 0, dpr, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = "12px system-ui, sans-serif";
    const base = TOP + plotHeight(), end_s = view.begin_s + view.span_s;
    for (const f of meta.findings || []) {
      const x0 = Math.max(LEFT, xOf(f.begin_s)), x1 = Math.min(width - RIGHT, xOf(f.end_s));
      if (x1 < x0) continue;
      c.globalAlpha = 0.14; c.fillStyle = colours[f.severity] || colours.note;
      c.fillRect(x0, TOP, Math.max(2, x1 - x0), plotHeight());
      c.globalAlpha = 1;
      c.fillRect(x0, TOP, Math.max(2, x1 - x0), 3);
    }
    c.strokeStyle = colours.edge; c.beginPath();
    let lo = 0, hi = markers.length; // the first marker in the window
    while (lo < hi) { const mid = (lo + hi) >> 1; if (markers[mid] < view.begin_s) lo = mid + 1; else hi = mid; }
    let last = -9;
    for (let k = lo; k < markers.length && markers[k] <= end_s; k++) {
      const x = Math.round(xOf(markers[k])) + 0.5;
      if (x - last < 2) continue;
      last = x;
      c.moveTo(x, TOP - 7); c.lineTo(x, TOP);
    }
    c.stroke();
    c.textAlign = "right"; c.textBaseline = "middle"; c.fillStyle = colours.ink;
    const every = Math.max(1, Math.ceil(13 / pitch));
    view.channels.forEach((channel, row) => {
      if (row % every) return;
      let text = meta.names[channel] ?? "";
      if (text.length > 9) text = text.slice(0, 8) + "…";
      c.fillText(text, LEFT - 6, TOP + pitch * (row + 0.5));
    });
    c.textAlign = "center"; c.fillStyle = colours.ink2; c.strokeStyle = colours.line;
    const step = nice(view.span_s / Math.max(2, plotWidth() / 110));
    for (let k = Math.ceil(view.begin_s / step - 1e-9); k * step <= end_s + 1e-9; k++) {
      const x = xOf(k * step);
      c.fillText(`${+(k * step).toFixed(4)} s`, clamp(x, LEFT + 12, width - RIGHT - 16), base + AXIS / 2);
      c.beginPath(); c.moveTo(Math.round(x) + 0.5, TOP); c.lineTo(Math.round(x) + 0.5, base);
      c.globalCompositeOperation = "destination-over"; c.stroke(); c.globalCompositeOperation = "source-over";
    }
    const split = LEFT + wiped() * plotWidth();
    const bars = [[0, LEFT + 14, "raw", split > LEFT + 110], [1, width - RIGHT - 14, "fix", (has(1) || what() === "difference") && split < width - RIGHT - 110]];
    for (const [i, x, name, room] of bars) {
      const scale = view.scale_uv[i] || auto[i];
      if (!room || !scale) continue;
      const most = plotHeight() / 2 / pitch * scale; // a bar of at least 16 px, but at most half the plot
      const uv = Math.min(pitch < 16 ? nice(16 / pitch * scale) : scale, niceBelow(most));
      const length = uv / scale * pitch, text = write(uv), wide = c.measureText(text).width;
      const y = base - 8, left = i ? x - wide - 12 : x - 6;
      c.globalAlpha = 0.85; c.fillStyle = colours.card; c.fillRect(left, y - length - 4, wide + 20, length + 8); c.globalAlpha = 1;
      c.fillStyle = c.strokeStyle = colours[name]; c.lineWidth = 3;
      c.beginPath(); c.moveTo(x, y - length); c.lineTo(x, y); c.stroke(); c.lineWidth = 1;
      c.fillStyle = colours.ink; c.textAlign = i ? "right" : "left";
      c.fillText(text, i ? x - 6 : x + 6, y - length / 2);
    }
    drawOverview(c);
    place(split);
  }
  function drawOverview(c) {
    const y = height - OVERVIEW, w = plotWidth(), total = duration() || 1;
    c.fillStyle = colours.line; c.fillRect(LEFT, y + 3, w, OVERVIEW - 8);
    const signal = meta.signals[0], tile = store.overview && store.find([0, signal.n_levels - 1, 0, 0].join("/"));
    if (tile && tile.size === 2) {
      const all = Array.from({ length: tile.bins }, (_, b) => {
        let most = 0;
        for (let r = 0; r < tile.n; r++) {
          const at = 2 * (r * tile.bins + b), lo = tile.values[at], hi = tile.values[at + 1];
          if (lo !== MISSING) most = Math.max(most, (hi - lo) * tile.step[r]);
        }
        return most;
      });
      const top = Math.max(...all) || 1, x0 = LEFT + signal.offset_s / total * w;
      const wide = signal.n_times / signal.sfreq / total * w;
      c.fillStyle = colours.raw;
      all.forEach((v, b) => {
        const h = Math.max(1, v / top * (OVERVIEW - 8));
        c.fillRect(x0 + b / tile.bins * wide, y + OVERVIEW - 5 - h, Math.max(1, wide / tile.bins), h);
      });
    }
    c.strokeStyle = colours.ink; c.lineWidth = 2;
    const x = LEFT + view.begin_s / total * w, wide = Math.max(4, view.span_s / total * w);
    c.strokeRect(x, y + 2, wide, OVERVIEW - 6); c.lineWidth = 1;
    c.fillStyle = colours.ink2; c.textAlign = "right";
    c.fillText(`${+total.toPrecision(4)} s`, LEFT - 6, y + OVERVIEW / 2 - 1);
  }
  function place(split) { // the handle, the tags and what they say
    const both = has(1), kind = what();
    wipe.style.display = both && kind === "signal" ? "" : "none";
    wipe.style.left = `${split}px`; wipe.style.top = `${TOP}px`; wipe.style.height = `${plotHeight()}px`;
    wipe.setAttribute("aria-valuenow", Math.round(100 * view.wipe));
    wipe.setAttribute("aria-valuetext", `before on ${Math.round(100 * view.wipe)} % of the picture`);
    const scales = [0, 1].map(i => view.scale_uv[i] || auto[i]);
    const ratio = scales[0] && scales[1] ? scales[0] / scales[1] : 0;
    tags[0].textContent = kind === "removed" ? "what was removed" : both ? "before" : meta.signals[0].label;
    const later = at("preview") >= 0 ? "after, preview" : "after";
    tags[1].textContent = kind === "difference" ? "the signal, and the difference" : ratio > 1.5 ? `${later} · ${+ratio.toPrecision(2)} × larger` : later;
    const room = [split - LEFT, width - RIGHT - split];
    tags.forEach((tag, i) => {
      tag.style.display = (has(i) || kind === "difference") && room[i] > tag.offsetWidth + 16 ? "" : "none";
    });
    tags[0].style.left = `${Math.max(LEFT, split - tags[0].offsetWidth - 16)}px`;
    tags[1].style.left = `${split + 16}px`;
    choices.forEach((button, k) => {
      button.disabled = k === 3 ? at("removed") < 0 : k === 4 ? at("difference") < 0 : !both && k > 0;
      button.title = k === 4 && button.disabled ? "Compare two runs first" : k > 0 && button.disabled ? "After the first run" : "";
      const now = kind === "removed" ? 3 : kind === "difference" ? 4 : wiped() >= 0.98 ? 0 : wiped() <= 0.02 ? 2 : 1;
      button.setAttribute("aria-pressed", String(now === k));
    });
    truthGroup.style.display = at("truth") >= 0 ? "" : "none";
    truthButton.disabled = !both || kind !== "signal";
    truthButton.setAttribute("aria-pressed", String(view.truth));
    const [big, small] = model.get("difference") || [];
    says_of.style.display = kind === "difference" && big ? "" : "none";
    if (big && says_of.dataset.text !== big + small) {
      says_of.replaceChildren();
      make("b", "", says_of, { textContent: big });
      make("span", "", says_of, { textContent: small });
      says_of.dataset.text = big + small;
    }
    const shown = sideInFocus()[0];
    scaleText.textContent = scales[shown] ? write(scales[shown]) : "–";
    spanText.textContent = `${+view.span_s.toPrecision(3)} s`;
    channelText.textContent = `${view.channels.length} of ${(meta.names || []).length}`;
    const names = view.channels.map(k => meta.names[k]);
    const labels = kind === "difference" ? ["difference"] : kind === "removed" ? ["what was removed"]
      : [meta.signals[0].label, ...(both ? [meta.signals[after()].label] : []), ...(view.truth && both && at("truth") >= 0 ? ["truth"] : [])];
    const text = `${labels.join(" and ")}: ${names.length} channel${names.length === 1 ? "" : "s"} ` +
      `(${names[0] ?? "none"}${names.length > 1 ? ` to ${names.at(-1)}` : ""}) from ` +
      `${view.begin_s.toFixed(2)} to ${(view.begin_s + view.span_s).toFixed(2)} s`;
    const failed = [...store.failed.values()][0];
    const line = lost ? "The kernel was restarted: run the cell again. What is drawn here can still be looked at."
      : failed ? `Part of the signal cannot be shown. ${failed}`
      : store.known ? `${text}; computing ${meta.signals[store.known.signal].label}: ` +
        `${store.known.counts[0]} of ${store.known.counts[1]} channels are there` : text;
    if (says.textContent !== line) says.textContent = line;
    says.toggleAttribute("data-wrong", Boolean(lost || failed));
    plot.setAttribute("aria-label", `${text}. ${KEYS}`);
  }
  function ask() {
    if (lost) return;
    const end_s = view.begin_s + view.span_s, wanted = [], n = 1000;
    const parts = partsOf(n);
    // The recording first: it is read at once, and a correction may take seconds.
    for (const [i, c0, c1] of parts.toSorted((a, b) => a[0] - b[0]))
      wanted.push(...tilesOf(i, view.begin_s + c0 / n * view.span_s, view.begin_s + c1 / n * view.span_s));
    for (const [i] of parts.toReversed()) { // then what comes next in the direction of travel
      const from = direction > 0 ? end_s : view.begin_s - view.span_s;
      wanted.push(...tilesOf(i, Math.max(0, from), Math.min(duration(), from + view.span_s)));
    }
    if (store.overview) wanted.push([0, meta.signals[0].n_levels - 1, 0, 0]);
    store.want(wanted, !store.overview && !store.askedOverview);
    store.askedOverview = true;
    askSpectrum();
  }

  // ------------------------------------------------------------------------------ spectrum
  let asked = "", spectra = null, cursor = -1, pause = 0;
  function askSpectrum() {
    if (!spectrum.clientWidth) return;
    const key = JSON.stringify([store.version, view.begin_s, view.span_s, view.channels]);
    if (key === asked) return;
    asked = key;
    clearTimeout(pause);
    pause = setTimeout(() => {
      try {
        store.model.send({ kind: "spectrum", version: store.version, key, begin_s: view.begin_s, span_s: view.span_s, channels: view.channels });
      } catch { lose(); }
    }, SETTLE_MS);
  }
  function takeSpectrum(message, buffers) {
    if (message.key !== asked || !buffers?.length) return;
    const b = buffers[0], all = new Float32Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));
    const n = all.length / (message.labels.length + 1);
    spectra = { freqs: all.subarray(0, n), slice_hz: message.slice_hz,
      rows: message.labels.map((label, k) => [label, all.subarray((k + 1) * n, (k + 2) * n)]) };
    cursor = -1;
    drawSpectrum();
  }
  const COLOUR_OF = { recording: "raw", corrected: "fix", preview: "fix", truth: "truth" };
  const WORD_OF = { recording: "before", corrected: "after", preview: "after", truth: "truth" };
  function drawSpectrum() {
    const w = spectrum.clientWidth, h = spectrum.clientHeight;
    if (!w) return;
    spectrum.width = Math.round(w * dpr); spectrum.height = Math.round(h * dpr);
    const c = spectrum.getContext("2d");
    c.setTransform(dpr, 0, 0, dpr, 0, 0);
    c.font = "11px system-ui, sans-serif"; c.fillStyle = colours.ink; c.textBaseline = "middle";
    c.fillText("Spectrum (dB)", 4, 11);
    if (!spectra) return;
    const { freqs, rows, slice_hz } = spectra, left = 30, right = w - 6, top = 24, bottom = h - 20;
    const shown = rows.filter(([label]) => label !== "truth" || view.truth);
    let least = Infinity, most = -Infinity;
    for (const [, v] of shown) for (const x of v) if (Number.isFinite(x)) { least = Math.min(least, x); most = Math.max(most, x); }
    if (!(most > least)) return;
    const step = nice((most - least) / 4), low = Math.floor(Math.max(least, most - 90) / step) * step, high = Math.ceil(most / step) * step;
    const topHz = freqs.at(-1), x = f => left + f / topHz * (right - left), y = v => bottom - (v - low) / (high - low) * (bottom - top);
    c.fillStyle = colours.ink2; c.strokeStyle = colours.line; c.textAlign = "right";
    for (let v = low; v <= high + 1e-9; v += step) {
      c.fillText(String(+v.toPrecision(3)), left - 4, y(v));
      c.beginPath(); c.moveTo(left, y(v)); c.lineTo(right, y(v)); c.stroke();
    }
    c.textAlign = "center";
    for (let f = 0; f < topHz; f += 25) c.fillText(f + 25 > topHz ? `${f} Hz` : f, clamp(x(f), left + 4, right - 14), h - 8);
    c.strokeStyle = colours.edge;
    if (slice_hz > topHz / 40) for (let k = 1; k * slice_hz < topHz; k++) {
      c.beginPath(); c.moveTo(x(k * slice_hz), bottom); c.lineTo(x(k * slice_hz), bottom + 5); c.stroke();
    }
    for (const [label, v] of shown) {
      c.strokeStyle = colours[COLOUR_OF[label]]; c.lineWidth = label === "truth" ? 3 : 1.5; c.beginPath();
      v.forEach((value, k) => { if (Number.isFinite(value)) c.lineTo(x(freqs[k]), y(Math.max(value, low))); });
      c.stroke();
    }
    c.lineWidth = 1;
    const words = shown.map(([label, v]) => {
      const k = cursor >= 0 ? cursor : v.indexOf(Math.max(...v.filter(Number.isFinite)));
      return `${WORD_OF[label]} ${v[k].toFixed(0)} dB${cursor >= 0 ? "" : ` at ${freqs[k].toFixed(1)} Hz`}`;
    });
    if (cursor >= 0) {
      c.strokeStyle = colours.ink; c.beginPath(); c.moveTo(x(freqs[cursor]), top); c.lineTo(x(freqs[cursor]), bottom); c.stroke();
      c.fillStyle = colours.card; c.fillRect(0, 0, w, 22); c.fillStyle = colours.ink; c.textAlign = "left";
      const values = shown.map(([, v]) => v[cursor].toFixed(0)).join(" → ");
      c.fillText(`${+freqs[cursor].toFixed(1)} Hz: ${values} dB`, 4, 11);
    }
    const where = cursor >= 0 ? `At ${freqs[cursor].toFixed(1)} Hz: ` : "Spectrum of the window, highest: ";
    const slices = slice_hz ? `. Slices come at ${slice_hz.toFixed(2)} Hz` : "";
    spectrum.setAttribute("aria-label", `${where}${words.join(", ")}${slices}. Arrow keys visit the harmonics.`);
  }
  const visit = to => { if (spectra) { cursor = clamp(to, 0, spectra.freqs.length - 1); drawSpectrum(); } };
  spectrum.addEventListener("pointerdown", e => {
    if (!spectra) return;
    const r = spectrum.getBoundingClientRect(), { freqs, slice_hz } = spectra;
    let f = (e.clientX - r.left - 30) / (r.width - 36) * freqs.at(-1);
    const near = slice_hz ? Math.max(1, Math.round(f / slice_hz)) * slice_hz : f;
    if (Math.abs(near - f) < freqs.at(-1) / 40) f = near; // a press near a harmonic means it
    visit(Math.round(f / freqs[0]) - 1);
  });
  spectrum.addEventListener("keydown", e => {
    if (!spectra || !["ArrowLeft", "ArrowRight"].includes(e.key)) return;
    const way = e.key === "ArrowRight" ? 1 : -1, { freqs, slice_hz } = spectra, hz = slice_hz || 5;
    const k = Math.round((cursor < 0 ? 0 : freqs[cursor]) / hz) + way;
    visit(Math.round(Math.max(1, k) * hz / freqs[0]) - 1);
    e.preventDefault(); e.stopPropagation();
  });

  // ------------------------------------------------------------------------------ input
  let drag = null;
  const local = e => { const r = stage.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
  plot.addEventListener("pointerdown", e => {
    const [x, y] = local(e);
    drag = y > height - OVERVIEW ? { overview: true } : { x, begin_s: view.begin_s };
    plot.setPointerCapture(e.pointerId);
    if (drag.overview) jump(x);
  });
  plot.addEventListener("pointermove", e => {
    if (!drag) return;
    const [x] = local(e);
    if (drag.overview) jump(x);
    else change({ begin_s: drag.begin_s - (x - drag.x) / plotWidth() * view.span_s });
  });
  const drop = () => { drag = null; };
  plot.addEventListener("pointerup", drop);
  plot.addEventListener("pointercancel", drop);
  const jump = x => change({ begin_s: (x - LEFT) / plotWidth() * duration() - view.span_s / 2 });
  wipe.addEventListener("pointerdown", e => { wipe.setPointerCapture(e.pointerId); wipe.focus(); });
  wipe.addEventListener("pointermove", e => {
    if (wipe.hasPointerCapture(e.pointerId)) change({ wipe: (local(e)[0] - LEFT) / plotWidth() });
  });
  wipe.addEventListener("keydown", e => {
    const to = { ArrowLeft: view.wipe - 0.02, ArrowRight: view.wipe + 0.02, Home: 0, End: 1 }[e.key];
    if (to !== undefined) { change({ wipe: to }); e.preventDefault(); e.stopPropagation(); }
  });
  plot.addEventListener("wheel", e => {
    const sideways = Math.abs(e.deltaX) > Math.abs(e.deltaY) || e.shiftKey;
    if (!(e.ctrlKey || document.activeElement === plot)) return; // the notebook scrolls
    e.preventDefault();
    if (sideways) change({ begin_s: view.begin_s + Math.sign(e.deltaX || e.deltaY) * view.span_s / 10 });
    else zoom(e.deltaY > 0, tOf(local(e)[0]));
  }, { passive: false });
  plot.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const page = (e.shiftKey ? 0.9 : 0.1) * view.span_s;
    const act = {
      ArrowLeft: () => change({ begin_s: view.begin_s - page }),
      ArrowRight: () => change({ begin_s: view.begin_s + page }),
      ArrowUp: () => scrollChannels(-1), ArrowDown: () => scrollChannels(1),
      PageUp: () => scrollChannels(-view.channels.length), PageDown: () => scrollChannels(view.channels.length),
      Home: () => change({ begin_s: 0 }), End: () => change({ begin_s: duration() }),
      "+": () => rescale(0.5), "=": () => rescale(0.5), "-": () => rescale(2),
      "[": () => zoom(false), "]": () => zoom(true),
      " ": () => has(1) && change({ what: "signal", wipe: view.wipe > 0.5 ? 0 : 1 }),
      t: () => at("truth") >= 0 && change({ truth: !view.truth }),
      d: () => at("difference") >= 0 && change({ what: what() === "difference" ? "signal" : "difference" }),
      a: () => { refit(); change({ scale_uv: [0, 0] }); },
    }[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!act) return;
    act();
    e.preventDefault();
    e.stopPropagation();
  });

  // ------------------------------------------------------------------------------ page
  function theme() {
    root.toggleAttribute("data-dark", isDark(el));
    const style = getComputedStyle(root), read = name => style.getPropertyValue(`--fnb-sv-${name}`).trim() || "#888";
    for (const name of ["raw", "fix", "truth", "ink", "ink2", "line", "edge", "card", "note", "warning", "error"]) colours[name] = read(name);
    for (const name of ["raw", "fix", "truth", "edge"]) // as one number, in the byte order of this machine
      colours[name + "32"] = new Uint32Array(readColour(colours[name]).buffer.slice(0))[0];
    redraw();
    drawSpectrum();
  }
  function size() {
    const room = [row.clientWidth, model.get("height_px") || HEIGHT];
    if (!room[0]) return; // not in the page yet, or on a hidden tab
    spectrum.style.display = room.every((v, k) => v >= SPECTRUM_LEAST[k]) ? "" : "none";
    spectrum.style.height = `${room[1]}px`;
    const wide = stage.clientWidth;
    const first = !width;
    width = wide; height = model.get("height_px") || HEIGHT; dpr = devicePixelRatio || 1;
    stage.style.height = `${height}px`;
    for (const canvas of [plot, over]) {
      canvas.width = Math.round(width * dpr); canvas.height = Math.round(height * dpr);
      canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    }
    if (first) theme(); // styles are known only now
    drawSpectrum();
    redraw();
  }
  function renew() {
    meta = model.get("meta") || {};
    const bytes = model.get("markers");
    markers = bytes?.byteLength ? new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) : new Float64Array(0);
    markers.sort();
    refit();
    store.askedOverview = false;
    asked = "";
    follow();
  }
  function follow() { // the kernel changed the view
    const given = model.get("view") || {};
    const known = {};
    for (const key of Object.keys(view)) if (given[key] !== undefined && given[key] !== null) known[key] = given[key];
    if (known.channels && String(known.channels) !== String(view.channels)) refit();
    change(known, true);
  }
  function lose() { lost = true; redraw(); }

  const resize = new ResizeObserver(() => requestAnimationFrame(size));
  resize.observe(row);
  const change_theme = new MutationObserver(() => requestAnimationFrame(theme));
  change_theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "class"] });
  model.on("change:view", follow);
  model.on("change:difference", redraw);
  model.on("change:height_px", size);
  renew();
  return {
    redraw, renew, lose, takeSpectrum,
    remove() {
      model.off("change:view", follow);
      model.off("change:difference", redraw);
      model.off("change:height_px", size);
      resize.disconnect(); change_theme.disconnect();
      cancelAnimationFrame(frame); clearTimeout(later); clearTimeout(pause);
    },
  };
}

export default () => { // called once for each model: its views share the tiles
  const store = makeStore();
  return {
    initialize({ model }) {
      store.model = model;
      store.version = model.get("meta").version ?? 0;
      const receive = (message, buffers) => store.receive(message, buffers);
      model.on("msg:custom", receive);
      model.on("change:meta", store.renew);
      return () => { model.off("msg:custom", receive); model.off("change:meta", store.renew); };
    },
    render({ el }) {
      const view = makeView(store, el);
      store.views.add(view);
      return () => { store.views.delete(view); view.remove(); };
    },
  };
};
