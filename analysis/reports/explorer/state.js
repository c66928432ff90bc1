// State of the page, what the panels share, and the start. The state is in the address: a link opens the same view.

const NUMBERS = ["m", "q", "u", "phi", "kappa", "pinned", "set", "cell"];
const TEXTS = ["path", "scene", "kind", "find", "across", "up", "metric", "colouring", "theme", "explain", "since"];
const LISTS = ["theta", "shift", "selected", "area", "sort"];
const panels = {}; // by name: { hears: names of the state, make(), draw(changed names) }
const { sets, photograph: packed } = JSON.parse(document.getElementById("data").textContent);
const SIDE = 256; // pixels of the photograph
const photograph = bytes(packed);
const LARGEST = {
  m: Math.max(8, ...sets.map((set) => set.stride || 0)),
  q: Math.max(3, ...sets.map((set) => set.q || 0)),
};
const initial = {};
const state = {
  set: 0,
  pinned: null,
  hovered: null,
  selected: null,
  area: null, // the box that selected: θ down and right of one corner, then of the other
  boxing: false,
  near: false,
  colouring: "eta_rmax",
  m: 1,
  q: 1,
  u: 1,
  path: "right",
  scene: "photograph",
  since: "step",
  cell: null,
  theta: [0, 0],
  phi: 0.6,
  kind: "",
  find: "",
  sort: ["eta_rmax", true],
  across: "eta_rmax",
  up: "eta_cmod",
  metric: "",
  kappa: 0.5,
  shift: [0, 1],
  theme: "",
  explain: "on",
};
const caches = { filters: new Map(), thumbnails: new Map() };
const changedNow = new Set();
let frame = null,
  resting = null;
const REST = 250; // milliseconds: browsers count how often a page writes its address

const dataset = () => sets[state.set];
/** Position of the kernel that the card shows: the one under the pointer, else the pinned one. */
const shown = () => state.hovered ?? state.pinned;
const thetaOf = (k) => {
  const row = k === null ? null : dataset().rows[k];
  return row && Number.isFinite(row.theta_x) ? [row.theta_y, row.theta_x] : [0, TURN / state.m];
};

/** Change the state; panels that hear of it are drawn once, at the next frame. */
function update(changes) {
  if ("set" in changes && changes.set !== state.set) {
    const { stride, q } = sets[changes.set];
    changes = {
      m: stride,
      q,
      selected: null,
      kind: "",
      cell: null,
      hovered: null,
      pinned: jumpiest(changes.set),
      ...changes,
    };
  }
  if ("pinned" in changes && changes.pinned !== state.pinned && !("theta" in changes)) {
    changes = { ...changes, cell: "cell" in changes ? changes.cell : null };
  }
  if ("selected" in changes && !("area" in changes)) changes = { ...changes, area: null };
  for (const [name, value] of Object.entries(changes)) {
    if (state[name] !== value) {
      state[name] = value;
      changedNow.add(name);
    }
  }
  if (changedNow.has("pinned") && !("theta" in changes)) {
    state.theta = thetaOf(state.pinned);
    changedNow.add("theta");
  }
  if (changedNow.size && frame === null) frame = requestAnimationFrame(redraw);
}

function redraw() {
  frame = null;
  const changed = new Set(changedNow);
  changedNow.clear();
  for (const panel of Object.values(panels)) {
    if (changed.has("all") || changed.has("theme") || panel.hears.some((name) => changed.has(name)))
      panel.draw(changed);
  }
  document.body.classList.toggle("explained", state.explain === "on");
  byId("explain").setAttribute("aria-pressed", state.explain === "on");
  remember();
}

/** Write the state into the address when it has been at rest, without an entry in the history. */
function remember() {
  clearTimeout(resting);
  resting = setTimeout(writeAddress, REST);
}
function writeAddress() {
  const pairs = [...NUMBERS, ...TEXTS, ...LISTS]
    .filter((name) => !same(state[name], initial[name]))
    .map((name) => [name, LISTS.includes(name) && state[name] ? state[name].join("_") : (state[name] ?? "")]);
  try {
    history.replaceState(null, "", `#${new URLSearchParams(pairs)}`);
  } catch {
    /* a frame in a notebook has no address: the state is kept here only */
  }
}
const same = (a, b) => String(a) === String(b);

/** State that an address asks for; what is out of range is left out. */
function recalled(hash) {
  const found = {},
    pairs = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [name, text] of pairs) {
    if (NUMBERS.includes(name) && text !== "" && Number.isFinite(Number(text))) found[name] = Number(text);
    if (TEXTS.includes(name)) found[name] = text;
    if (name === "selected" && text) found[name] = text.split("_").map(Number);
    if (["theta", "shift", "area"].includes(name)) found[name] = text.split("_").map(Number);
    if (name === "sort") found[name] = [text.split("_").slice(0, -1).join("_"), text.endsWith("_true")];
  }
  const rows = sets[found.set ?? state.set]?.rows;
  if (!rows) return {};
  const valid = {
    pinned: (k) => Object.hasOwn(rows, k),
    selected: (list) => list.every((k) => Object.hasOwn(rows, k)),
    m: (m) => m >= 1 && m <= LARGEST.m && m % 1 === 0,
    q: (q) => q >= 0 && q <= LARGEST.q && q % 1 === 0,
    u: (u) => u >= 0 && u <= FARTHEST && (u / STEP) % 1 === 0,
    path: (p) => Object.hasOwn(PATHS, p),
    scene: (s) => ["photograph", "wave"].includes(s),
    since: (s) => Object.hasOwn(SINCE, s),
    area: (corners) => corners.length === 4 && corners.every(Number.isFinite),
    across: (a) => Object.hasOwn(MEASURES, a),
    up: (a) => Object.hasOwn(MEASURES, a),
    colouring: (c) => Object.hasOwn(COLOURINGS, c) && c in rows[0],
    theta: (pair) => pair.length === 2 && pair.every(Number.isFinite),
    shift: (pair) => pair.length === 2 && pair.every((v) => v >= 0 && v <= 4),
    kappa: (v) => v > 0 && v <= Math.PI,
    cell: (i) => i >= 0 && i % 1 === 0,
    sort: ([name]) => COLUMNS.some(([known]) => known === name),
    metric: (name) => sets.some((set) => set.metrics?.some((metric) => metric.name === name)),
    theme: (t) => ["light", "dark"].includes(t),
  };
  return Object.fromEntries(Object.entries(found).filter(([name, value]) => !valid[name] || valid[name](value)));
}

/** Position of the kernel whose RMax changes most. */
function jumpiest(s) {
  const values = sets[s].rows.map((row) => row.eta_rmax ?? -1);
  return values.indexOf(Math.max(...values));
}

// ---- kernels --------------------------------------------------------------------------------------------------------

/** Float32 numbers of base64. */
const floats = (text) => new Float32Array(bytes(text).buffer);
function bytes(text) {
  const raw = atob(text),
    list = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) list[i] = raw.charCodeAt(i);
  return list;
}

/** Weights of kernel k, one array a channel. */
function channelsOf(k) {
  const set = dataset(),
    [, channels, h, w] = set.shape;
  set.values ??= floats(set.weight);
  return Array.from({ length: channels }, (_, c) =>
    set.values.subarray((k * channels + c) * h * w, (k * channels + c + 1) * h * w),
  );
}

/** Complex filters of kernel k, one a channel. */
function complexFilters(k) {
  const key = `${state.set} ${k}`,
    set = dataset(),
    [, , h, w] = set.shape;
  if (!caches.filters.has(key)) {
    if (caches.filters.size > 40) caches.filters.clear();
    set.parts ??= set.factors && floats(set.factors);
    caches.filters.set(
      key,
      set.factors
        ? [separable(set.parts.subarray(4 * w * k, 4 * w * (k + 1)), w)]
        : channelsOf(k).map((v) => analytic(v, h, w, set.grid, set.direction[k])),
    );
  }
  return caches.filters.get(key);
}

/** Largest weight of kernel k, for its picture. */
const largestOf = (k) =>
  (dataset().factors
    ? Math.max(...complexFilters(k)[0].re.map(Math.abs))
    : Math.max(...channelsOf(k).map((v) => Math.max(...v.map(Math.abs))))) || 1;
/** Colour of weights of one position: grey is 0. */
function kernelColour(values, largest) {
  const level = (value) => 127.5 * (1 + value / largest);
  return values.length === 3 ? values.map(level) : Array(3).fill(level(values[0]));
}
/** Side of the part of a packet filter that its pictures show, pixels. */
const cropSide = () => Math.min(dataset().grid, 6 * dataset().stride);

/** Small picture of kernel k as an address. */
function thumbnail(k) {
  const key = `${state.set} ${k}`,
    set = dataset(),
    [, , h, w] = set.shape;
  if (!caches.thumbnails.has(key)) {
    const canvas = document.createElement("canvas"),
      largest = largestOf(k);
    if (set.factors) {
      const side = cropSide(),
        start = (w - side) >> 1,
        { re } = complexFilters(k)[0];
      paint(canvas, side, side, (i) =>
        kernelColour([re[(start + Math.floor(i / side)) * w + start + (i % side)]], largest),
      );
    } else {
      const channels = channelsOf(k);
      paint(canvas, h, w, (i) =>
        kernelColour(
          channels.map((v) => v[i]),
          largest,
        ),
      );
    }
    caches.thumbnails.set(key, canvas.toDataURL());
  }
  return caches.thumbnails.get(key);
}
