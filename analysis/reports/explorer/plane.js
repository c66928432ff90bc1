// Plane: kernels at theta over gamma_q(m theta); hover shows, a tap pins, a drag selects. And the list of all kernels.

const POINTS = 129; // of the map along each axis
const REACH = 26; // pixels from a point at which a tap still finds it
const COLOURINGS = {
  eta_rmax: "change of RMax",
  eta_cmod: "change of CMod",
  rho: "discrepancy ρ",
  share_of_change: "share of the layer's change",
};

/** True if the frequency of a row is on a plane that goes so far. */
const within = (row, reach) => Math.max(Math.abs(row.theta_x), Math.abs(row.theta_y)) <= reach;
const boxPath = ([x0, x1], [y0, y1]) => `M${x0} ${y0}H${x1}V${y1}H${x0}z`;

panels.plane = {
  hears: ["set", "m", "q", "pinned", "hovered", "selected", "area", "colouring", "boxing", "near"],
  make() {
    const svg = byId("plane-chart");
    byId("plane-controls").append(
      (this.m = slider("stride m", {
        min: 1,
        max: LARGEST.m,
        step: 1,
        value: state.m,
        id: "slider-m",
        show: (m) => `${m} px`,
        change: (m) => update({ m }),
      })),
      (this.q = slider("window q", {
        min: 0,
        max: LARGEST.q,
        step: 1,
        value: state.q,
        id: "slider-q",
        show: (q) => `${q}: ${2 * q + 1}×${2 * q + 1} samples`,
        change: (q) => update({ q }),
      })),
      choice(
        "colour",
        Object.entries(COLOURINGS).filter(([key]) => key in dataset().rows[0]),
        state.colouring,
        (colouring) => update({ colouring }),
      ),
      (this.reset = button("the layer's own m and q", () => update({ m: dataset().stride, q: dataset().q }))),
      (this.box = button("select by a box", () => update({ boxing: !state.boxing }), { "aria-pressed": "false" })),
      (this.near = button("the middle, enlarged", () => update({ near: !state.near }), { "aria-pressed": "false" })),
    );
    byId("plane-selection").append(
      (this.chosen = element("span", { "aria-live": "polite" })),
      " ",
      (this.clear = button("clear the selection", () => update({ selected: null }), { id: "plane-clear" })),
    );
    const nearest = (event) => {
      const box = svg.getBoundingClientRect(),
        [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let best = null,
        least = REACH ** 2;
      for (const place of this.places || []) {
        const distance = (place.x - x) ** 2 + (place.y - y) ** 2;
        if (distance < least) [best, least] = [place.k, distance];
      }
      return best;
    };
    let start = null;
    svg.addEventListener("pointerdown", (event) => {
      start = [event.clientX, event.clientY];
      this.dragged = false;
      if (event.pointerType === "mouse" || state.boxing) svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (!start) return update({ hovered: event.pointerType === "mouse" ? nearest(event) : null });
      if (event.pointerType !== "mouse" && !state.boxing) return undefined;
      if (Math.hypot(event.clientX - start[0], event.clientY - start[1]) > 6) this.dragged = true;
      if (this.dragged) this.rubber(svg, start, [event.clientX, event.clientY]);
      return undefined;
    });
    svg.addEventListener("pointerup", (event) => {
      if (this.dragged) {
        const [[x0, x1], [y0, y1]] = this.rubber(svg, start, [event.clientX, event.clientY]);
        const inside = this.places.filter(({ x, y }) => x >= x0 && x <= x1 && y >= y0 && y <= y1).map(({ k }) => k);
        const { xOf, yOf } = this.at;
        update({
          selected: inside.length ? [...new Set(inside)].sort((a, b) => a - b) : null,
          area: inside.length ? [yOf(y0), xOf(x0), yOf(y1), xOf(x1)].map((v) => Number(v.toFixed(3))) : null,
          boxing: false,
        });
      } else if (start) {
        const k = nearest(event);
        if (k !== null) update({ pinned: k, hovered: null });
      }
      start = null;
    });
    svg.addEventListener("pointercancel", () => {
      start = null;
      this.rectangle.setAttribute("d", "");
    });
    svg.addEventListener("pointerleave", () => update({ hovered: null }));
    this.list = byId("kernel-list");
    this.list.addEventListener("keydown", (event) => this.keys(event));
  },
  /** Draw the box that is being dragged; its borders, in pixels of the chart. */
  rubber(svg, [x0, y0], [x1, y1]) {
    const box = svg.getBoundingClientRect();
    const xs = [x0 - box.left, x1 - box.left].sort((a, b) => a - b),
      ys = [y0 - box.top, y1 - box.top].sort((a, b) => a - b);
    this.rectangle.setAttribute("d", boxPath(xs, ys));
    return [xs, ys];
  },
  draw(changed) {
    const { rows, stride } = dataset();
    this.m.set(state.m);
    this.q.set(state.q);
    this.reset.disabled = state.m === stride && state.q === dataset().q;
    this.box.setAttribute("aria-pressed", state.boxing);
    this.near.setAttribute("aria-pressed", state.near);
    this.clear.disabled = !state.selected;
    const said = state.selected
      ? `${state.selected.length} of ${rows.length} ${dataset().what === "packets" ? "filters" : "kernels"} are selected; the table shows only them.`
      : state.boxing
        ? "Now drag a box over the points."
        : "Nothing is selected. Drag a box over points (on a touch screen press “select by a box” first), or press Space at a kernel in the list.";
    if (this.chosen.textContent !== said) this.chosen.textContent = said; // what is said again is read out again
    const svg = byId("plane-chart");
    svg.style.touchAction = state.boxing ? "none" : "pan-y";
    const reach = state.near ? Math.PI / 2 : Math.PI;
    const width = svg.clientWidth || svg.parentElement.clientWidth;
    const at = chart(svg, {
      x: { low: -reach, high: reach, pi: true, label: "θ right (rad/px)" },
      y: { low: reach, high: -reach, pi: true, label: "θ down (rad/px)" }, // down is downward
      height: Math.max(Math.min(width - 12, 560), 188), // with the margins: a square
      grid: false,
      label: "Kernels at their characteristic frequency over gamma",
    });
    this.at = at;
    this.background(at, changed);
    const values = rows.map((row) => row[state.colouring]),
      top = Math.max(...values.filter(Number.isFinite), 1e-9);
    byId("plane-scale").textContent = `${COLOURINGS[state.colouring]}: 0 to ${percent(top)}`;
    this.places = [];
    const drawn = (k, sign, faint) => {
      const row = rows[k],
        x = at.x(sign * row.theta_x),
        y = at.y(sign * row.theta_y);
      if (!within(row, reach)) return;
      this.places.push({ k, x, y });
      const chosen = !state.selected || state.selected.includes(k);
      at.layer.append(
        marker(row.kind, x, y, k === shown() ? 9 : faint ? 4 : 6, {
          class: `point${k === shown() ? " shown" : ""}${chosen ? "" : " dimmed"}${faint ? " twin" : ""}`,
          [faint ? "style" : "fill"]: `${faint ? "stroke:" : ""}${css(colourOf(VIRIDIS, values[k] / top))}`,
          "data-kernel": faint ? null : k,
        }),
      );
      if (k === shown() && !faint) {
        const inside = x < at.box.left + at.box.width - 40;
        at.layer.append(
          shape(
            "text",
            { x: x + (inside ? 13 : -13), y: y + 5, "text-anchor": inside ? "start" : "end", class: "name" },
            `${row.index}`,
          ),
        );
      }
    };
    const order = rows.map((_, k) => k).filter((k) => Number.isFinite(rows[k].theta_x) && k !== shown());
    order.forEach((k) => drawn(k, -1, true));
    order.forEach((k) => drawn(k, 1, false));
    if (shown() !== null && Number.isFinite(rows[shown()].theta_x))
      [-1, 1].forEach((sign) => drawn(shown(), sign, sign < 0));
    const [y0, x0, y1, x1] = (state.area || []).map((theta) => Math.min(Math.max(theta, -reach), reach));
    this.rectangle = shape("path", {
      class: "rubber",
      d: state.area ? boxPath([at.x(x0), at.x(x1)], [at.y(y0), at.y(y1)]) : "",
    });
    at.layer.append(this.rectangle);
    this.mirror(changed);
    this.words(rows[shown()], reach);
  },
  /** Why the kernel that is shown jumps, or does not: phase a pixel, and the window. */
  words(row, reach) {
    const { m, q } = state;
    const heard = dataset().rows.filter(({ theta_x: x }) => Number.isFinite(x)),
      outside = heard.filter((one) => !within(one, reach));
    byId("plane-hidden").textContent = outside.length
      ? `${outside.length} of ${heard.length} lie outside of the enlarged middle${outside.includes(row) ? `, number ${row.index} too` : ""}.`
      : "";
    if (!row || !Number.isFinite(row.theta_x)) return byId("plane-words").replaceChildren();
    const advance = Math.max(Math.abs(row.theta_x), Math.abs(row.theta_y)),
      window = gamma([m * row.theta_y, m * row.theta_x], q);
    byId("plane-words").textContent =
      `Number ${row.index}: a pixel takes up to ${number(advance, 1)} rad of its phase, ${percent(advance / TURN)} of a period` +
      `${advance > 1 ? ", and that is why it jumps" : ""}. γ = ${number(window)}: ` +
      (window < 0.3
        ? "of an endless wave some sample of the window is always near a crest. That is of no help where the stripes in a photograph end before the window does."
        : "the window often misses the crest even of an endless wave, which adds to it.");
    return undefined;
  },
  /** gamma as shades behind the points, and crosses where m theta is a multiple of 2 pi. */
  background(at, changed) {
    if (!this.image || changed.has("m") || changed.has("q") || changed.has("set") || changed.has("theme")) {
      const map = gammaMap(state.m, state.q, POINTS),
        [paper, ink] = [shade("--gamma-low"), shade("--gamma-high")];
      const top = Math.sqrt(1.5);
      const canvas = paint(document.createElement("canvas"), POINTS, POINTS, (i) =>
        colourOf([paper, ink], map[i] / top),
      );
      this.image = canvas.toDataURL();
    }
    const { left, top, width, height } = at.box,
      side = 2 * Math.PI;
    const view = state.near ? `${side / 4} ${side / 4} ${side / 2} ${side / 2}` : `0 0 ${side} ${side}`;
    at.layer.append(
      shape("svg", { x: left, y: top, width, height, viewBox: view, preserveAspectRatio: "none" }, [
        shape("image", { href: this.image, width: side, height: side, preserveAspectRatio: "none" }),
      ]),
    );
    const step = TURN / state.m;
    for (let y = -Math.floor(state.m / 2); y <= state.m / 2; y++) {
      for (let x = -Math.floor(state.m / 2); x <= state.m / 2; x++) {
        if (state.near && Math.max(Math.abs(x), Math.abs(y)) * step > Math.PI / 2 + 1e-9) continue;
        at.layer.append(
          shape("path", {
            class: "cross",
            d: "M-5 0H5M0 -5V5",
            transform: `translate(${at.x(x * step)} ${at.y(y * step)})`,
          }),
        );
      }
    }
  },
  /** List of all kernels as pictures: the same as the points, for the keyboard. */
  mirror(changed) {
    if (!this.list.children.length || changed.has("set") || changed.has("theme")) {
      this.list.replaceChildren(
        ...dataset().rows.map((row, k) =>
          element(
            "li",
            {
              role: "option",
              id: `kernel-${k}`,
              tabindex: -1,
              "data-kernel": k,
              "aria-label": `${row.index}: ${row.words}`,
              title: `${row.index}`,
              onclick: () => update({ pinned: k, hovered: null }),
              onmouseenter: () => update({ hovered: k }),
              onmouseleave: () => update({ hovered: null }),
              onfocus: () => update({ pinned: k, hovered: null }),
            },
            element("img", { src: thumbnail(k), alt: "" }),
          ),
        ),
      );
    }
    for (const item of this.list.children) {
      const k = Number(item.dataset.kernel);
      item.setAttribute("aria-selected", k === state.pinned);
      item.tabIndex = k === (state.pinned ?? 0) ? 0 : -1;
      item.setAttribute("aria-checked", Boolean(state.selected?.includes(k)));
      item.classList.toggle("shown", k === shown());
      item.classList.toggle("dimmed", Boolean(state.selected && !state.selected.includes(k)));
      // On a phone the list is one row that scrolls.
      if (k === state.pinned && changed.has("pinned"))
        this.list.scrollLeft = item.offsetLeft - this.list.clientWidth / 2;
    }
  },
  keys(event) {
    const items = [...this.list.children],
      k = state.pinned ?? 0;
    const first = items.filter((item) => item.offsetTop === items[0].offsetTop).length,
      columns = first < items.length ? first : 1; // in a single row, up and down are left and right
    const act = {
      ArrowRight: () => items[k + 1]?.focus(),
      ArrowLeft: () => items[k - 1]?.focus(),
      ArrowDown: () => items[k + columns]?.focus(),
      ArrowUp: () => items[k - columns]?.focus(),
      Home: () => items[0].focus(),
      End: () => items.at(-1).focus(),
      " ": () => this.toggle(k),
      Escape: () => update({ selected: null }),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  },
  /** Select a kernel, or select it no longer. */
  toggle(k) {
    const others = (state.selected || []).filter((other) => other !== k);
    const selected = state.selected?.includes(k) ? others : [...others, k].sort((a, b) => a - b);
    update({ selected: selected.length ? selected : null });
  },
};
