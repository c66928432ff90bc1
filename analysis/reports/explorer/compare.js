// Compare: all results on shared axes; and the networks with their remedies, metric by metric.

const MEASURES = {
  eta_rmax: ["RMax changes (%)", 100],
  eta_cmod: ["CMod changes (%)", 100],
  rho: ["discrepancy ρ", 1],
  gamma: ["γ(mθ)", 1],
  wavelength: ["wavelength (pixels)", 1],
  share_of_change: ["share of the layer's change (%)", 100],
  waves: ["wavelengths a stride, m|θ|/2π", 1],
};

panels.compare = {
  hears: ["set", "pinned", "across", "up", "metric"],
  make() {
    const options = Object.entries(MEASURES).map(([key, [label]]) => [key, label]);
    byId("compare-controls").append(
      choice("across", options, state.across, (across) => update({ across })),
      choice("up", options, state.up, (up) => update({ up })),
    );
    const stable = sets.filter((set) => set.what === "stability");
    byId("remedies").hidden = !stable.length;
    if (stable.length) {
      const metrics = [
        ...new Map(stable.flatMap((set) => set.metrics.map((metric) => [metric.name, metric.label]))).entries(),
      ];
      byId("remedies-controls").append(
        choice("metric", metrics, state.metric || metrics[0][0], (metric) => update({ metric })),
      );
    }
  },
  draw() {
    const shownSets = sets.map((set, s) => [set, s]).filter(([set]) => set.rows);
    const value = (set, row, name) =>
      name === "waves" ? (set.stride * Math.hypot(row.theta_y, row.theta_x)) / TURN : row[name];
    const points = shownSets
      .flatMap(([set, s]) =>
        set.rows.map((row, k) => ({ s, k, row, x: value(set, row, state.across), y: value(set, row, state.up) })),
      )
      .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y) && x < 1e3);
    const axis = (name, pick) => ({
      low: 0,
      high: 1.06 * Math.max(...points.map(pick), 1e-9),
      label: MEASURES[name][0],
      unit: MEASURES[name][1],
    });
    const at = chart(byId("compare-chart"), {
      x: axis(state.across, (p) => p.x),
      y: axis(state.up, (p) => p.y),
      height: 340,
      label: "All results on shared axes",
    });
    if (
      MEASURES[state.across][1] === MEASURES[state.up][1] &&
      state.across.startsWith("eta") &&
      state.up.startsWith("eta")
    ) {
      const end = Math.min(at.xOf(at.box.left + at.box.width), at.yOf(at.box.top));
      at.layer.append(
        line(
          at,
          [
            [0, 0],
            [end, end],
          ],
          { class: "cursor" },
        ),
      );
    }
    for (const { s, k, row, x, y } of points) {
      const mine = s === state.set && k === state.pinned;
      const dot = marker(row.kind, at.x(x), at.y(y), mine ? 8 : 4.5, {
        class: `set set-${s % 4}${mine ? " shown" : ""}`,
        onclick: () => update({ set: s, pinned: k }),
      });
      dot.append(shape("title", {}, `${sets[s].name} ${row.index}: ${row.words}`));
      at.layer.append(dot);
    }
    byId("compare-legend").replaceChildren(
      ...shownSets.map(([set, s]) =>
        element("span", {}, [element("i", { class: `swatch set-${s % 4}` }), `${set.name} (${set.rows.length})`]),
      ),
      element("span", {}, [element("i", { class: "line equal" }), "equal change"]),
    );
    this.remedies();
  },
  /** One metric of all networks and remedies as dots with standard errors, the best first. */
  remedies() {
    const stable = sets.filter((set) => set.what === "stability");
    if (!stable.length) return;
    const name = state.metric || stable[0].metrics[0].name;
    const rows = stable
      .flatMap((set, s) =>
        set.metrics
          .filter((metric) => metric.name === name)
          .flatMap((metric) =>
            set.remedies.map((remedy, i) => ({
              label: stable.length > 1 ? `${set.name}, ${remedy}` : remedy,
              s,
              value: metric.values[i],
              error: metric.errors?.[i] ?? 0,
              axis: metric.label,
            })),
          ),
      )
      .filter(({ value }) => Number.isFinite(value));
    const higher = ["top1", "top5", "consistency"].includes(name);
    rows.sort((a, b) => (higher ? b.value - a.value : a.value - b.value));
    const low = Math.min(0, ...rows.map((row) => row.value - row.error)),
      high = Math.max(...rows.map((row) => row.value + row.error)) * 1.05;
    const svg = byId("remedies-chart"),
      narrow = (svg.clientWidth || svg.parentElement.clientWidth) < 600;
    const height = 22 * rows.length + 56,
      longest = Math.max(...rows.map((row) => row.label.length));
    const at = chart(svg, {
      x: { low, high, label: narrow ? rows[0].axis.match(/\((.*)\)/)[1] : rows[0].axis },
      y: { low: rows.length, high: 0, label: "", count: 1e-9 },
      height,
      margin: [4, 14, 42, Math.min(7 * longest + 14, 210)],
      label: rows[0].axis,
    });
    rows.forEach((row, i) => {
      const y = at.y(i + 0.5),
        plain = /(^|, )plain$/.test(row.label);
      at.layer.append(
        shape(
          "text",
          { x: at.box.left - 8, y: y + 4, "text-anchor": "end", class: plain ? "name" : "small" },
          row.label,
        ),
        shape("line", {
          class: "error",
          x1: at.x(row.value - row.error),
          x2: at.x(row.value + row.error),
          y1: y,
          y2: y,
        }),
        shape("circle", { class: `set set-${row.s % 4}${plain ? " shown" : ""}`, cx: at.x(row.value), cy: y, r: 5 }),
      );
      if (plain)
        at.layer.append(
          shape("line", {
            class: "cursor",
            x1: at.x(row.value),
            x2: at.x(row.value),
            y1: at.box.top,
            y2: at.box.top + at.box.height,
          }),
        );
    });
  },
};
