// Phase clock: the phases at which a pooling window samples one wave, on a circle; the maximum; gamma beside it.

panels.clock = {
  hears: ["set", "m", "q", "pinned", "theta", "phi", "play"],
  make() {
    const axis = (i, name, id) =>
      slider(name, {
        min: -3.14,
        max: 3.14,
        step: 0.01,
        value: 0,
        id,
        show: (v) => `${number(v)} rad/px`,
        change: (v) => update({ theta: state.theta.map((old, j) => (i === j ? v : old)) }),
      });
    byId("clock-controls").append(
      (this.y = axis(0, "θ down", "slider-ty")),
      (this.x = axis(1, "θ right", "slider-tx")),
      (this.phi = slider("phase φ of the wave", {
        min: 0,
        max: 6.28,
        step: 0.02,
        value: state.phi,
        id: "slider-phi",
        show: (v) => `${number(v)} rad`,
        change: (phi) => update({ phi }),
      })),
      element("div", { class: "buttons" }, [
        button("θ = (0, 2π/m)", () => update({ theta: [0, TURN / state.m] }), { id: "clock-coincide" }),
        button("θ = (0, π/m)", () => update({ theta: [0, Math.PI / state.m] })),
        button("θ of the pinned kernel", () => update({ theta: thetaOf(state.pinned) })),
      ]),
    );
  },
  draw() {
    const { m, q, phi } = state,
      theta = state.theta,
      omega = theta.map((t) => m * t),
      phases = windowPhases(omega, q);
    this.x.set(theta[1]);
    this.y.set(theta[0]);
    this.phi.set(phi);
    const cosines = phases.map((phase) => Math.cos(phi + phase)),
      largest = cosines.indexOf(Math.max(...cosines));
    const svg = byId("clock-face"),
      R = 100,
      side = 2 * q + 1;
    const groups = new Map(); // samples by their phase: those that coincide share a bead and a label
    svg.replaceChildren(
      shape("circle", { r: R, class: "rim" }),
      shape("line", { x1: 0, x2: R + 10, y1: 0, y2: 0, class: "crest" }),
      shape("text", { x: R + 36, y: 4, class: "small" }, "crest"),
      shape("text", { x: -R - 36, y: 4, class: "small", "text-anchor": "end" }, "trough"),
      ...phases.map((phase, i) => {
        const angle = phi + phase,
          key = Math.round(phase * 1e4) % Math.round(TURN * 1e4),
          [x, y] = [R * Math.cos(angle), -R * Math.sin(angle)];
        groups.set(key, [...(groups.get(key) || []), i]);
        return shape("g", { class: i === largest ? "sample winner" : "sample" }, [
          shape("line", { x1: 0, y1: 0, x2: x, y2: y }),
          shape("circle", { cx: x, cy: y, r: i === largest ? 8 : 5 }),
        ]);
      }),
    );
    // The winner last, on top.
    svg.append(svg.querySelector(".winner"));
    if (q < 2) svg.append(...this.labels([...groups], phi, R + 20, largest));
    const cells = phases.map((_, i) =>
      element(
        "i",
        { class: i === largest ? "winner" : "", style: `background:${css(colourOf(MAGMA, (cosines[i] + 1) / 2))}` },
        q < 2 ? String(i + 1) : "",
      ),
    );
    byId("clock-window").style.gridTemplateColumns = `repeat(${side}, 1fr)`;
    byId("clock-window").replaceChildren(...cells);
    const value = gamma(omega, q),
      distinct = groups.size;
    byId("clock-gamma").textContent = number(value, 3);
    byId("clock-words").textContent =
      distinct === 1
        ? `All ${phases.length} phases coincide: each sample sees the wave at the same place, and the maximum is no better than one of them.`
        : `${distinct} different phases of ${phases.length}. RMax sees cos = ${number(Math.max(...cosines))} of this wave, CMod its amplitude, 1.`;
    this.curve(phases, phi);
  },
  /** Numbers of the samples outside of the rim, in the order of their phases, moved apart where they would touch. */
  labels(groups, phi, r, largest) {
    const LEAST = 0.2; // radians between two
    const placed = groups
      .map(([key, samples]) => ({ samples, angle: key / 1e4 }))
      .sort((a, b) => a.angle - b.angle);
    for (let pass = 0; pass < 40; pass++) {
      placed.forEach((one, i) => {
        const next = placed[(i + 1) % placed.length],
          gap = next.angle - one.angle + (i + 1 === placed.length ? TURN : 0);
        if (next !== one && gap < LEAST) {
          one.angle -= (LEAST - gap) / 2;
          next.angle += (LEAST - gap) / 2;
        }
      });
    }
    return placed.map(({ samples, angle }) => {
      const text = samples.length > 3 ? `${samples.length} samples` : samples.map((i) => i + 1).join(" ");
      const [x, y] = [r * Math.cos(phi + angle), 4.5 - r * Math.sin(phi + angle)];
      const anchor = samples.length === 1 || Math.abs(x) < r / 3 ? "middle" : x > 0 ? "start" : "end";
      return shape("text", { x, y, "text-anchor": anchor, class: samples.includes(largest) ? "number name" : "number" }, text);
    });
  },
  /** What the window sees of the wave, for every phase of it. */
  curve(phases, phi) {
    const at = chart(byId("clock-curve"), {
      x: { low: 0, high: TURN, pi: true, label: "phase φ of the wave (rad)" },
      y: { low: -1.05, high: 1.15, label: "what is seen", count: 4 },
      height: 190,
      label: "Largest sample of the window against the phase of the wave",
    });
    const angles = Array.from({ length: 181 }, (_, i) => (i * TURN) / 180);
    at.layer.append(
      line(
        at,
        [
          [0, 1],
          [TURN, 1],
        ],
        { class: "curve cmod" },
      ),
      line(
        at,
        angles.map((angle) => [angle, largestCosine(angle, phases)]),
        { class: "curve rmax" },
      ),
      shape("line", { class: "cursor", x1: at.x(phi), x2: at.x(phi), y1: at.box.top, y2: at.box.top + at.box.height }),
      shape("circle", { class: "dot rmax", cx: at.x(phi), cy: at.y(largestCosine(phi, phases)), r: 4.5 }),
    );
  },
};
