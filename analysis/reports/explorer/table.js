// Table of all kernels: search, filter by kind, sort, CSV of what is shown.

const COLUMNS = [
  ["index", "number", (row) => row.index],
  ["eta_rmax", "RMax changes", (row) => percent(row.eta_rmax, 1)],
  ["eta_cmod", "CMod changes", (row) => percent(row.eta_cmod, 1)],
  ["eta_output", "output changes", (row) => percent(row.eta_output, 1)],
  ["share_of_change", "share of change", (row) => percent(row.share_of_change, 1)],
  ["kind", "kind", (row) => row.kind],
  ["wavelength", "wavelength (px)", (row) => number(row.wavelength, 1)],
  ["orientation", "direction (°)", (row) => number(row.orientation, 0)],
  ["gamma", "γ(mθ)", (row) => number(row.gamma)],
  ["rho", "ρ", (row) => number(row.rho)],
];

panels.table = {
  hears: ["set", "pinned", "selected", "kind", "find", "sort"],
  make() {
    this.find = element("input", {
      type: "search",
      id: "table-find",
      placeholder: "number or words, such as fine diagonal",
      "aria-label": "Search",
      value: state.find,
      oninput: () => update({ find: this.find.value }),
    });
    this.kindBox = element("span");
    this.count = element("span", { class: "muted" });
    byId("table-controls").append(
      this.find,
      this.kindBox,
      button("CSV of these rows", () => this.save(), { id: "table-csv" }),
      this.count,
    );
    byId("table-body").addEventListener("keydown", (event) => this.keys(event));
  },
  draw(changed) {
    const { rows } = dataset(),
      box = byId("table-body");
    const columns = COLUMNS.filter(([name]) => rows.some((row) => row[name] !== undefined && row[name] !== null));
    if (changed.has("set") || !this.kindBox.children.length) {
      const kinds = [...new Set(rows.map((row) => row.kind))];
      this.kindBox.replaceChildren(
        choice(
          "kind",
          [["", "all"], ...kinds.map((kind) => [kind, kind])],
          state.kind,
          (kind) => update({ kind }),
          "table-kind",
        ),
      );
    }
    this.kindBox.querySelector("select").value = state.kind;
    if (this.find.value !== state.find) this.find.value = state.find;
    const chosen = this.chosen(),
      reached = chosen.includes(state.pinned) ? state.pinned : chosen[0], // by Tab; arrow keys reach the others
      focused = box.contains(document.activeElement) && document.activeElement.dataset.focus;
    const body = chosen.map((k) =>
      element(
        "tr",
        {
          "data-kernel": k,
          id: `row-${k}`,
          class: k === state.pinned ? "pinned" : "",
          onclick: () => update({ pinned: k }),
        },
        columns.map(([name, , text], i) =>
          element(
            i ? "td" : "th",
            i ? { class: name === "kind" ? "text" : "" } : { scope: "row" },
            i
              ? text(rows[k])
              : button(text(rows[k]), () => update({ pinned: k }), {
                  class: "link",
                  title: rows[k].words,
                  tabindex: k === reached ? 0 : -1,
                  "data-focus": `row ${k}`,
                }),
          ),
        ),
      ),
    );
    const heads = columns.map(([name, label]) => {
      const [by, down] = state.sort,
        sorted = by === name ? (down ? "descending" : "ascending") : "none";
      return element(
        "th",
        { scope: "col", "aria-sort": sorted, class: name === "kind" ? "text" : "" },
        button(label, () => update({ sort: [name, by === name ? !down : name !== "index" && name !== "kind"] }), {
          class: "link",
          title: name === "orientation" ? "of the wave: 0° is right, 90° down" : null,
          "data-focus": name,
        }),
      );
    });
    const top = box.scrollTop;
    box.replaceChildren(
      element("table", {}, [element("thead", {}, element("tr", {}, heads)), element("tbody", {}, body)]),
    );
    if (!body.length)
      box.append(
        element("p", { class: "nothing", role: "status" }, [
          `None of the ${rows.length} has all of what is asked for: ${this.asked().join(", ")}. `,
          button("show all", () => update({ find: "", kind: "", selected: null })),
        ]),
      );
    box.scrollTop = top;
    if (focused) [...box.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused)?.focus();
    const hidden = [
      ...(box.scrollHeight > box.clientHeight + 1 ? ["▼ more rows"] : []),
      ...(box.scrollWidth > box.clientWidth + 1 ? ["more columns ▶"] : []),
    ];
    byId("table-more").textContent = hidden.length ? `${hidden.join(", ")}: scroll in the table` : "";
    this.count.textContent = `${body.length} of ${rows.length}${state.selected ? ", selected in the plane" : ""}`;
    if (changed.has("pinned")) this.reveal(box);
  },
  /** Bring the pinned row into view, inside the table only. */
  reveal(box) {
    const row = box.querySelector("tr.pinned");
    if (!row) return;
    const head = box.querySelector("thead").offsetHeight,
      top = row.offsetTop - head;
    if (top < box.scrollTop || top + row.offsetHeight + head > box.scrollTop + box.clientHeight)
      box.scrollTop = Math.max(0, top - box.clientHeight / 3);
  },
  /** What the rows must have, in words. */
  asked() {
    return [
      state.find && `“${state.find}”`,
      state.kind && `kind ${state.kind}`,
      state.selected && "selected in the plane",
    ].filter(Boolean);
  },
  /** Arrow keys go from number to number. */
  keys(event) {
    const numbers = [...byId("table-body").querySelectorAll("tbody button")],
      at = numbers.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: numbers.length - 1 }[event.key];
    if (at < 0 || !numbers[next]) return;
    event.preventDefault();
    numbers[at].tabIndex = -1;
    numbers[next].tabIndex = 0;
    numbers[next].focus();
  },
  /** Positions of the rows that are shown, in their order. */
  chosen() {
    const { rows } = dataset(),
      words = state.find.toLowerCase().split(/\s+/).filter(Boolean),
      [by, down] = state.sort;
    const fits = (row) =>
      words.every((word) =>
        /^\d+$/.test(word) ? String(row.index) === word : `${row.kind} ${row.words}`.toLowerCase().includes(word),
      );
    const kept = rows
      .map((_, k) => k)
      .filter(
        (k) =>
          (!state.kind || rows[k].kind === state.kind) &&
          (!state.selected || state.selected.includes(k)) &&
          fits(rows[k]),
      );
    const order = (a, b) => {
      const [x, y] = [rows[a][by], rows[b][by]];
      if (x === y) return a - b;
      if (x === null || x === undefined) return 1; // without a number: last, whichever way
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * (down ? -1 : 1);
    };
    return kept.sort(order);
  },
  csv() {
    const { rows } = dataset(),
      names = Object.keys(rows[0]).filter((name) => name !== "words");
    const cell = (value) => (value === null || value === undefined ? "" : String(value));
    return (
      [names.join(","), ...this.chosen().map((k) => names.map((name) => cell(rows[k][name])).join(","))].join("\n") +
      "\n"
    );
  },
  save() {
    const address = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    element("a", { href: address, download: `${dataset().name}.csv` }).click();
    URL.revokeObjectURL(address);
  },
};
