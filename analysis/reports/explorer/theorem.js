// Theorem 1: CMod changes by at most alpha(kappa u). The bound, a cloud of random images, and images built to reach it.

const KINDS = ["gaussian", "sparse", "pulse", "corners"];
const RANDOM = 2; // the first kinds; the others are built to change much

panels.theorem = {
  hears: ["set", "kappa", "shift"],
  make() {
    const random = randomNumbers(1);
    this.envelopes = Array.from({ length: 160 }, (_, i) => envelope(KINDS[i % KINDS.length], random));
    this.built = this.envelopes.filter((_, i) => i % KINDS.length >= RANDOM);
    this.random = this.envelopes.filter((_, i) => i % KINDS.length < RANDOM);
    this.cloud = this.random.map((c, i) => {
      const t = (TURN * (i + 0.5)) / this.random.length,
        part = random();
      return [t, modulusChange(c, 1, [t * part, t * (1 - part)])];
    });
    const part = (i, name, id) =>
      slider(name, {
        min: 0,
        max: 4,
        step: 0.25,
        value: state.shift[i],
        id,
        show: (v) => `${number(v)} px`,
        change: (v) => update({ shift: state.shift.map((old, j) => (i === j ? v : old)) }),
      });
    byId("theorem-controls").append(
      (this.kappa = slider("bandwidth κ", {
        min: 0.05,
        max: 3.14,
        step: 0.01,
        value: state.kappa,
        id: "slider-kappa",
        show: (v) => `${number(v)} rad/px`,
        change: (kappa) => update({ kappa }),
      })),
      (this.down = part(0, "u down", "slider-uy")),
      (this.right = part(1, "u right", "slider-ux")),
    );
  },
  draw() {
    const { kappa, shift } = state,
      t = kappa * (shift[0] + shift[1]);
    this.kappa.set(kappa);
    this.down.set(shift[0]);
    this.right.set(shift[1]);
    const here = this.random.map((c) => modulusChange(c, kappa, shift)),
      worst = Math.max(...here),
      built = Math.max(...this.built.map((c) => modulusChange(c, kappa, shift))),
      bound = alphaSharp(t);
    const high = Math.max(TURN, t * 1.05);
    const at = chart(byId("theorem-chart"), {
      x: { low: 0, high, pi: true, label: "κ‖u‖₁ (rad)" },
      y: { low: 0, high: 1.6, label: "relative change of CMod" },
      height: 520,
      label: "Bound of the theorem with random images",
    });
    const curve = Array.from({ length: 121 }, (_, i) => (i * high) / 120);
    at.layer.append(
      ...this.cloud.map(([x, y]) => shape("circle", { class: "cloud", cx: at.x(x), cy: at.y(y), r: 2.5 })),
      line(
        at,
        curve.filter((x) => x / 2 <= 1.6).map((x) => [x, x / 2]),
        { class: "curve half" },
      ),
      line(
        at,
        curve.map((x) => [x, alphaSharp(x)]),
        { class: "curve bound" },
      ),
      shape("line", { class: "cursor", x1: at.x(t), x2: at.x(t), y1: at.box.top, y2: at.box.top + at.box.height }),
      ...here.map((y) => shape("circle", { class: "here", cx: at.x(t), cy: at.y(y), r: 3 })),
      shape("path", { class: "worst", d: "M-6 -6L6 6M-6 6L6 -6", transform: `translate(${at.x(t)} ${at.y(built)})` }),
      shape("text", { x: at.x(3) + 8, y: at.y(1.51), class: "small" }, "simple bound, κ‖u‖₁/2"),
      shape("text", { x: at.x(high) - 6, y: at.y(Math.SQRT2) - 6, class: "small", "text-anchor": "end" }, "best bound"),
    );
    const { stride } = dataset(),
      limit = Math.PI / stride;
    const beyond =
      kappa > limit
        ? ` At this layer’s stride m = ${stride} the theorem asks for κ ≤ π/m = ${number(limit)}; such a κ needs a smaller stride.`
        : "";
    const ofBound = (change) => (bound > 0 ? ` (${percent(change / bound)} of the bound)` : "");
    byId("theorem-words").textContent =
      `κ‖u‖₁ = ${number(t)} rad: CMod changes by at most ${percent(bound)}. Largest change of ${here.length} random pictures: ${percent(worst)}${ofBound(worst)}; of those built to change most: ${percent(built)}${ofBound(built)}.${beyond}`;
  },
};
