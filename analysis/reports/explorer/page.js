// Theme and start.

/** Colour of a CSS variable, [r, g, b]. */
function shade(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}
function applyTheme() {
  const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "☀ light" : "☾ dark";
}

function start() {
  const kept = sets.map((set, s) => [set, s]).filter(([set]) => set.rows);
  Object.assign(state, { set: kept[0][1] });
  Object.assign(state, { m: dataset().stride, q: dataset().q, pinned: jumpiest(state.set) });
  Object.assign(initial, state);
  const asked = recalled(location.hash);
  if ("set" in asked && asked.set !== state.set)
    Object.assign(state, { set: asked.set, m: dataset().stride, q: dataset().q, pinned: jumpiest(asked.set) });
  Object.assign(state, asked);
  if (!("theta" in asked)) state.theta = thetaOf(state.pinned);
  byId("set-box").append(
    ...(kept.length > 1
      ? [
          choice(
            "result",
            kept.map(([set, s]) => [s, set.name]),
            state.set,
            (s) => update({ set: Number(s) }),
            "set-choice",
          ),
        ]
      : []),
  );
  byId("theme").addEventListener("click", () => {
    state.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    applyTheme();
    update({ explain: state.explain });
    changedNow.add("theme");
    frame ??= requestAnimationFrame(redraw);
  });
  byId("explain").addEventListener("click", () => update({ explain: state.explain === "on" ? "off" : "on" }));
  applyTheme();
  for (const panel of Object.values(panels)) panel.make();
  addEventListener("hashchange", () => location.reload()); // an address that was pasted into this tab
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    update({ all: {} });
  }).observe(document.body);
  changedNow.add("all").add("set").add("pinned");
  redraw();
  document.documentElement.dataset.ready = "yes";
}
start();
