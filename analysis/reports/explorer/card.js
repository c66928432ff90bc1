// Card: one kernel as picture, modulus and Gabor fit, with its numbers and a sentence.

const FIGURES = [
  ["rho", "ρ, ‖RMax − CMod‖ / ‖CMod‖"],
  ["eta_rmax", "RMax changes (η)"],
  ["eta_cmod", "CMod changes (η)"],
  ["eta_output", "output, with bias and ReLU, changes"],
  ["share_of_change", "share of the layer's change"],
];
const BARS = ["eta_rmax", "eta_cmod", "eta_output"]; // on one scale

panels.card = {
  hears: ["set", "pinned", "hovered"],
  make() {},
  draw() {
    const k = shown(),
      { rows, stride, q, pictures, what, moved } = dataset(),
      box = byId("card-body");
    if (k === null) {
      box.replaceChildren(element("p", { class: "muted" }, "Tap a point or a kernel."));
      return;
    }
    const row = rows[k],
      heard = Number.isFinite(row.theta_x);
    const images = this.images(k).map(([name, canvas]) =>
      element("figure", {}, [canvas, element("figcaption", {}, name)]),
    );
    const bar = (name) =>
      BARS.includes(name)
        ? element("span", { class: "track" }, [
            element("span", { class: `bar ${name}`, style: `width:${(100 * Math.min(row[name], 1)).toFixed(1)}%` }),
          ])
        : "";
    const measured = FIGURES.filter(([name]) => Number.isFinite(row[name])).map(([name, label]) =>
      element("tr", {}, [
        element("th", { scope: "row" }, label),
        element(
          "td",
          {},
          name === "rho" ? plainWithError(row.rho, row.rho_stderr) : withError(row[name], row[`${name}_stderr`]),
        ),
        element("td", { class: "bars" }, bar(name)),
      ]),
    );
    const described = [
      [
        "characteristic frequency θ",
        heard && `${number(row.theta_y)} down, ${number(row.theta_x)} right, rad/px`,
      ],
      ["wavelength", heard && `${number(row.wavelength, 1)} px`],
      ["direction of the wave, across its stripes", heard && `${number(row.orientation, 0)}° (0° is right, 90° down)`],
      ["bandwidth κ (90 % of the energy)", row.bandwidth && `${number(row.bandwidth)} rad/px`],
      ["Gabor fit explains (R²)", row.gabor_r2 && percent(row.gabor_r2)],
      [`γ, its window at rest (m = ${stride}, q = ${q})`, heard && number(gamma([stride * row.theta_y, stride * row.theta_x], q))],
    ]
      .filter(([, value]) => value)
      .map(([label, value]) =>
        element("tr", {}, [element("th", { scope: "row" }, label), element("td", { colspan: 2 }, value)]),
      );
    const where = pictures ? `on ${pictures} photographs, ± standard error` : "as measured";
    box.replaceChildren(
      element(
        "h3",
        { id: "card-title" },
        `${what === "packets" ? "Filter" : "Kernel"} ${row.index}, ${row.kind}${k === state.pinned ? "" : " (not pinned)"}`,
      ),
      element("p", { class: "words" }, row.words),
      element("div", { class: "images" }, images),
      element("table", {}, [
        element("caption", {}, `m = ${stride}, q = ${q}, ${where}. Changes: ${moved}; a full bar is 100 %.`),
        element("tbody", {}, [...measured, ...described]),
      ]),
    );
  },
  /** Pictures of a kernel, each [name, canvas]. */
  images(k) {
    const {
        shape: [, channels, h, w],
        gabor,
        what,
      } = dataset(),
      filters = complexFilters(k);
    const [rows, columns] = what === "packets" ? [Math.min(h, cropSide()), Math.min(w, cropSide())] : [h, w];
    const at = (f, i) => (((f.n - rows) >> 1) + Math.floor(i / columns)) * f.n + ((f.n - columns) >> 1) + (i % columns);
    const modulus = Float64Array.from({ length: rows * columns }, (_, i) =>
      Math.hypot(...filters.map((f) => Math.hypot(f.re[at(f, i)], f.im[at(f, i)]))),
    );
    const largest = Math.max(...modulus, 1e-30);
    const made = () => element("canvas", { class: "pixels" });
    const images = [
      [
        "V",
        paint(made(), rows, columns, (i) =>
          kernelColour(
            filters.map((f) => f.re[at(f, i)]),
            largestOf(k),
          ),
        ),
      ],
      ["|W|", paint(made(), rows, columns, (i) => colourOf(MAGMA, modulus[i] / largest))],
    ];
    if (gabor && gabor[k].every((p) => p !== null)) {
      const [amplitude, phase, oy, ox, cy, cx, s1, s2, angle] = gabor[k];
      const fitted = Float64Array.from({ length: rows * columns }, (_, i) => {
        const dy = Math.floor(i / columns) - cy,
          dx = (i % columns) - cx;
        const a = dx * Math.cos(angle) + dy * Math.sin(angle),
          b = dy * Math.cos(angle) - dx * Math.sin(angle);
        return amplitude * Math.exp(-0.5 * ((a / s1) ** 2 + (b / s2) ** 2)) * Math.cos(oy * dy + ox * dx + phase);
      });
      const top = Math.max(...fitted.map(Math.abs), 1e-30);
      images.push(["Gabor fit", paint(made(), rows, columns, (i) => kernelColour([fitted[i]], top))]);
    }
    return images;
  },
};
