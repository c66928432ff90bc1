// Shift lab: a photograph moves by whole and fractional pixels; RMax and CMod are computed from the kernel as it does.

const PATHS = { right: ["right", [0, 1]], down: ["down", [1, 0]], diagonal: ["down and right, each", [1, 1]] };
const FARTHEST = 8,
  PLAYED = 2, // how far it plays, to and fro
  STEP = 0.25; // pixels
// What the changes are from, how much brighter their maps are, and what the axis says.
const SINCE = {
  step: ["¼ px before", 6, "changed by the last ¼ px"],
  start: ["u = 0", 2, "changed since u = 0, η"],
};
const TICK = 90; // milliseconds between two positions while it plays

panels.lab = {
  hears: ["set", "m", "q", "pinned", "u", "path", "scene", "since", "cell"],
  make() {
    byId("lab-controls").append(
      choice(
        "picture",
        [
          ["photograph", "photograph"],
          ["wave", "a wave at the kernel’s θ"],
        ],
        state.scene,
        (scene) => update({ scene, cell: null }),
        "lab-scene",
      ),
      choice(
        "moves",
        Object.entries(PATHS).map(([key, [text]]) => [key, text]),
        state.path,
        (path) => update({ path }),
        "lab-path",
      ),
      choice(
        "changes since",
        Object.entries(SINCE).map(([key, [text]]) => [key, text]),
        state.since,
        (since) => update({ since }),
        "lab-since",
      ),
      (this.play = button("▶ play", () => this.toggle(), { id: "lab-play" })),
      (this.u = slider("shift u", {
        min: 0,
        max: FARTHEST,
        step: STEP,
        value: state.u,
        id: "slider-u",
        show: (u) => `${number(u)} px, ${u % 1 ? "fractional" : "whole"}`,
        change: (u) => {
          this.stop();
          update({ u });
        },
      })),
    );
    for (const id of ["lab-rmax", "lab-cmod"]) {
      byId(id).addEventListener("click", (event) => {
        const box = event.target.getBoundingClientRect(),
          side = this.still.side;
        update({
          cell:
            Math.floor(((event.clientY - box.top) / box.height) * side) * side +
            Math.floor(((event.clientX - box.left) / box.width) * side),
        });
      });
      byId(id).parentElement.addEventListener("keydown", (event) => this.keys(event));
    }
  },
  /** Arrow keys mark the neighbour of the marked unit. */
  keys(event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const { side } = this.still,
      [y, x] = [Math.floor(this.cell / side) + move[0], (this.cell % side) + move[1]];
    if (Math.min(x, y) >= 0 && Math.max(x, y) < side) update({ cell: y * side + x });
  },
  /** Play to and fro over the first pixels, or stop. */
  toggle() {
    if (this.timer) return this.stop();
    this.play.textContent = "❚❚ stop";
    let way = STEP;
    this.timer = setInterval(() => {
      way = state.u >= PLAYED ? -STEP : state.u <= 0 ? STEP : way;
      update({ u: state.u + way });
    }, TICK);
    return undefined;
  },
  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "▶ play";
  },
  /** Channels of the picture in [0, 1]: the photograph, its luminance, or a wave at theta that fits into the period. */
  channels() {
    const {
        rows,
        shape: [, count],
      } = dataset(),
      n = SIDE;
    if (state.scene === "wave") {
      const bin = (omega) => (TURN * Math.round((omega * n) / TURN)) / n,
        { theta_y: y, theta_x: x } = rows[state.pinned];
      const wave = Float64Array.from(
        { length: n * n },
        (_, i) => 0.5 + 0.45 * Math.cos(bin(y) * Math.floor(i / n) + bin(x) * (i % n)),
      );
      return Array(count).fill(wave);
    }
    const [r, g, b] = [0, 1, 2].map((c) => Float64Array.from({ length: n * n }, (_, i) => photograph[3 * i + c] / 255));
    return count === 3 ? [r, g, b] : [r.map((value, i) => 0.299 * value + 0.587 * g[i] + 0.114 * b[i])];
  },
  /** Spectrum of the responses of the pinned kernel, and the maps at each shift that was needed so far. */
  prepare() {
    const { mean, std } = dataset();
    const scene = [state.set, state.scene, state.scene === "wave" ? state.pinned : ""].join();
    if (this.scene !== scene) {
      this.scene = scene;
      this.pictures = this.channels();
      this.spectra = spectra(
        this.pictures.map((p, c) => p.map((value) => (value - mean[c]) / std[c])),
        SIDE,
      );
      const at = (i) => this.pictures.map((pixels) => 255 * pixels[i]);
      this.photo = paint(document.createElement("canvas"), SIDE, SIDE, (i) =>
        at(i).length === 3 ? at(i) : Array(3).fill(at(i)[0]),
      );
    }
    const kernel = [scene, state.pinned].join();
    if (this.kernel !== kernel) {
      this.kernel = kernel;
      this.responses = responseSpectrum(this.spectra, complexFilters(state.pinned));
    }
    const key = [kernel, state.m, state.q, state.path].join();
    if (this.key !== key) {
      this.key = key;
      this.steps = new Map();
      clearTimeout(this.later);
      this.still = this.maps(0);
    }
  },
  maps(u) {
    if (!this.steps.has(u)) {
      const [y, x] = PATHS[state.path][1];
      const maps = pooled(translated(this.responses, [y * u, x * u], state.m), state.q);
      const still = this.still || maps;
      this.steps.set(u, {
        ...maps,
        etaR: relativeChange(maps.rmax, u ? still.rmax : maps.rmax),
        etaC: relativeChange(maps.cmod, u ? still.cmod : maps.cmod),
      });
    }
    return this.steps.get(u);
  },
  /** Changes of RMax and CMod at a shift, since what was chosen. */
  changes(u) {
    const now = this.maps(u);
    if (state.since === "start") return [now.etaR, now.etaC];
    const before = this.maps(u - STEP);
    now.step ??= ["rmax", "cmod"].map((name) => relativeChange(now[name], before[name]));
    return now.step;
  },
  draw() {
    this.u.set(state.u);
    const silent = state.pinned === null || !Number.isFinite(dataset().rows[state.pinned].theta_x);
    byId("lab").classList.toggle("empty", silent);
    if (silent) {
      byId("lab-note").textContent = "This kernel answers to nothing: pin another one.";
      return;
    }
    if (!this.painted) {
      // the rest of the page first
      this.painted = true;
      setTimeout(() => this.draw(), 50);
      return;
    }
    this.prepare();
    const now = this.maps(state.u),
      { side } = now,
      wide = 2 * state.m * side;
    if (state.cell === null || state.cell >= side * side)
      this.cell = this.still.cmod.indexOf(Math.max(...this.still.cmod));
    else this.cell = state.cell;
    const top = Math.max(...this.still.cmod),
      bottom = Math.min(0, ...this.still.rmax);
    const [, brighter, said] = SINCE[state.since],
      reference = state.since === "start" ? this.still : this.maps(state.u - STEP);
    for (const name of ["rmax", "cmod"]) {
      const [values, still] = [now[name], reference[name]];
      paint(byId(`lab-${name}`), side, side, (i) => colourOf(MAGMA, (values[i] - bottom) / (top - bottom)));
      paint(byId(`lab-${name}-change`), side, side, (i) =>
        colourOf(MAGMA, (brighter * Math.abs(values[i] - still[i])) / (top - bottom)),
      );
    }
    this.picture();
    for (const id of ["lab-rmax", "lab-cmod"]) {
      const mark = byId(`${id}-cell`);
      Object.assign(mark.style, {
        left: `${(100 * (this.cell % side)) / side}%`,
        top: `${(100 * Math.floor(this.cell / side)) / side}%`,
        width: `${100 / side}%`,
        height: `${100 / side}%`,
      });
    }
    ["rmax", "cmod"].forEach((name, i) => {
      byId(`lab-eta-${name}`).textContent = percent(this.changes(state.u)[i]);
      byId(`lab-since-${name}`).textContent = said;
    });
    byId("lab-scale").textContent = `maps: one scale for both; changes: ${brighter} times as bright`;
    byId("lab-scene-words").replaceChildren(...this.sceneWords());
    byId("lab-note").textContent =
      `${dataset().what === "packets" ? "Filter" : "Kernel"} ${dataset().rows[state.pinned].index}: maps of ${side}×${side} units, ${2 * state.m} pixels apart: stride m = ${state.m}, times 2 of the pooling (${wide} of ${SIDE} pixels). Bias and ReLU come later, so RMax may be negative. The picture goes round in a circle; between whole pixels it is interpolated exactly (Shannon). Photograph: Chelsea, by Stéfan van der Walt (CC0).`;
    this.curves();
    this.rest();
  },
  /** The picture as it stands now; that between pixels is the browser's affair, the maps are not made from it. */
  picture() {
    const [y, x] = PATHS[state.path][1],
      canvas = byId("lab-picture"),
      context = canvas.getContext("2d");
    for (const down of [0, -SIDE])
      for (const right of [0, -SIDE]) context.drawImage(this.photo, right + x * state.u, down + y * state.u);
  },
  /** What the picture is, and what is to be expected of it. */
  sceneWords() {
    const { rows, pictures, moved } = dataset(),
      { m, q, pinned } = state;
    if (state.scene === "photograph")
      return pictures ? [`This is one photograph and one direction; the card has means over ${pictures} photographs, ${moved}.`] : [];
    const window = (row) => gamma([m * row.theta_y, m * row.theta_x], q),
      value = window(rows[pinned]);
    const said =
      value < 0.3
        ? "wherever the wave stands, some sample of a window is near a crest, and RMax hardly changes. In a photograph the same kernel may jump: its stripes end before the window does (task 4)."
        : `the samples of a window see ${value > 0.9 ? "nearly the same" : "only a part"} of the wave, and RMax follows it through crest and trough.`;
    const others = rows.map((_, k) => k).filter((k) => rows[k].kind === "band-pass");
    const extreme = others.sort((a, b) => (value < 0.3 ? -1 : 1) * (window(rows[a]) - window(rows[b])))[0];
    return [
      `An endless wave at number ${rows[pinned].index}’s own θ; the sliders of the phase clock do not move it. γ(mθ) = ${number(value)}: ${said}`,
      ...(extreme === undefined || extreme === pinned
        ? []
        : [
            " The opposite is ",
            button(`number ${rows[extreme].index}, γ = ${number(window(rows[extreme]))}`, () =>
              update({ pinned: extreme }),
            ),
          ]),
    ];
  },
  /** Curves of eta and of one unit against the shift, as far as they are computed. */
  curves() {
    const known = [...this.steps.entries()]
      .filter(([u]) => u >= 0 && (state.since === "start" || this.steps.has(u - STEP)))
      .sort(([a], [b]) => a - b);
    const x = { low: 0, high: FARTHEST, label: `shift ${PATHS[state.path][0]} (pixels)`, count: 8 };
    const cursor = (at) =>
      at.layer.append(
        shape("line", {
          class: "cursor",
          x1: at.x(state.u),
          x2: at.x(state.u),
          y1: at.box.top,
          y2: at.box.top + at.box.height,
        }),
      );
    const draw = (id, y, label, pick) => {
      const at = chart(byId(id), { x, y, height: 230, label });
      cursor(at);
      for (const [name, part] of [
        ["cmod", 1],
        ["rmax", 0],
      ]) {
        at.layer.append(
          line(
            at,
            known.map(([u]) => [u, pick(u)[part]]),
            { class: `curve ${name}` },
          ),
        );
        const current = pick(state.u)[part];
        at.layer.append(shape("circle", { class: `dot ${name}`, cx: at.x(state.u), cy: at.y(current), r: 4.5 }));
      }
    };
    const etas = known.flatMap(([u]) => this.changes(u)).filter(Number.isFinite);
    draw(
      "lab-eta",
      { low: 0, high: Math.max(0.1, ...etas) * 1.05, label: `${SINCE[state.since][2]} (%)`, unit: 100 },
      "Change of RMax and CMod against the shift",
      (u) => this.changes(u),
    );
    const unit = (u) => ["rmax", "cmod"].map((name) => this.maps(u)[name][this.cell]);
    const values = known.flatMap(([u]) => unit(u)),
      [down, right] = [1 + Math.floor(this.cell / this.still.side), 1 + (this.cell % this.still.side)];
    draw(
      "lab-unit",
      { low: Math.min(0, ...values), high: Math.max(...values) * 1.05, label: `unit ${down} down, ${right} right` },
      "Value of one unit against the shift",
      unit,
    );
  },
  /** Compute the other shifts a few at a time, between two frames. */
  rest() {
    const all = Array.from({ length: FARTHEST / STEP + 2 }, (_, i) => (i - 1) * STEP),
      missing = all.filter((u) => !this.steps.has(u));
    clearTimeout(this.later);
    if (!missing.length) return;
    this.later = setTimeout(() => {
      missing.slice(0, 6).forEach((u) => this.maps(u));
      this.curves();
      this.rest();
    }, 0);
  },
};
