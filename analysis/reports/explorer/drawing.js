// Elements, charts, and pixels. Colours that the theme decides are CSS variables (page.css).

const SVG = "http://www.w3.org/2000/svg";
const MAGMA = [
  [0, 0, 4],
  [28, 16, 68],
  [79, 18, 123],
  [129, 37, 129],
  [181, 54, 122],
  [229, 80, 100],
  [251, 135, 97],
  [254, 194, 135],
  [252, 253, 191],
];
const VIRIDIS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

const byId = (id) => document.getElementById(id);

/** Element with attributes and children; SVG where `svg` says so. Names that begin with "on" are listeners. */
function element(name, attributes = {}, children = [], svg = false) {
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...[children].flat());
  return made;
}
const shape = (name, attributes, children) => element(name, attributes, children, true);

/** Number for people: so many digits after the point, a dash where there is none. */
const number = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");
const percent = (value, digits = 0) => (Number.isFinite(value) ? `${(100 * value).toFixed(digits)}\u00a0%` : "–");
/** Value with its standard error, both in percent. */
const withError = (value, error) =>
  Number.isFinite(error) ? `${(100 * value).toFixed(1)} ± ${(100 * error).toFixed(1)}\u00a0%` : percent(value, 1);

const plainWithError = (value, error) =>
  Number.isFinite(error) ? `${number(value, 3)} ± ${number(error, 3)}` : number(value, 3);

/** Colour [r, g, b] of a part of 1 in a map of colours. */
function colourOf(map, part) {
  const at = Math.min(Math.max(part, 0), 1) * (map.length - 1),
    i = Math.min(Math.floor(at), map.length - 2),
    t = at - i;
  const [low, high] = [map[i], map[i + 1]];
  return [low[0] + t * (high[0] - low[0]), low[1] + t * (high[1] - low[1]), low[2] + t * (high[2] - low[2])];
}
const css = (rgb) => `rgb(${rgb.map(Math.round).join(" ")})`;

/** Paint values (rows x columns) into a canvas, `colour` from value to [r, g, b]. */
function paint(canvas, rows, columns, colour) {
  Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d"),
    image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const [r, g, b] = colour(i);
    image.data[4 * i] = r;
    image.data[4 * i + 1] = g;
    image.data[4 * i + 2] = b;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Step between ticks, about `count` of them, of 1, 2 or 5 times a power of ten. */
function niceStep(span, count) {
  const raw = span / count,
    power = 10 ** Math.floor(Math.log10(raw)),
    part = raw / power;
  return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

const TICK_ROOM = 44; // pixels from one multiple of pi to the next

/** Multiple of pi / 2 in words. */
function halfTurns(k) {
  const size = Math.abs(k),
    factor = size % 2 ? size : size / 2;
  return k ? `${k < 0 ? "−" : ""}${factor === 1 ? "" : factor}π${size % 2 ? "/2" : ""}` : "0";
}

/** Ticks of an axis of `room` pixels: multiples of pi, as many as fit, where it is one of phase, else round numbers. */
function ticksOf({ low, high, pi, count = 5, unit = 1 }, room) {
  if (pi) {
    const [first, last] = [low, high].sort((a, b) => a - b).map((end) => (2 * end) / Math.PI);
    const crowd = ((last - first) * TICK_ROOM) / Math.max(room, 1), // of ticks at every half turn
      every = 2 ** Math.max(0, Math.ceil(Math.log2(crowd)));
    const from = Math.ceil(first / every - 1e-9),
      to = Math.floor(last / every + 1e-9);
    return Array.from({ length: to - from + 1 }, (_, i) => (from + i) * every).map((k) => [
      (k * Math.PI) / 2,
      halfTurns(k),
    ]);
  }
  const step = niceStep(high - low, count),
    ticks = [];
  const digits = Math.max(0, -Math.floor(Math.log10(step * unit) + 1e-9));
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
    ticks.push([k * step, number(k * step * unit, digits)]);
  return ticks;
}

/**
 * Axes in an SVG element, as wide as its box, emptied first.
 * x, y: { low, high, label, pi, count, unit }; the result has x(value), y(value), the inverses, and `layer` to draw in.
 */
function chart(svg, { x, y, height, label, margin = [10, 12, 42, 52], grid = true }) {
  const width = Math.max(svg.clientWidth || svg.parentElement.clientWidth, 200);
  const [top, right, bottom, left] = margin;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const at = {
    x: (value) => left + ((value - x.low) / (x.high - x.low)) * (width - left - right),
    y: (value) => height - bottom - ((value - y.low) / (y.high - y.low)) * (height - top - bottom),
    xOf: (pixel) => x.low + ((pixel - left) / (width - left - right)) * (x.high - x.low),
    yOf: (pixel) => y.low + ((height - bottom - pixel) / (height - top - bottom)) * (y.high - y.low),
    box: { left, top, width: width - left - right, height: height - top - bottom },
  };
  const axes = shape("g", { class: "axes" });
  for (const [value, text] of ticksOf(x, at.box.width)) {
    if (grid) axes.append(shape("line", { x1: at.x(value), x2: at.x(value), y1: top, y2: height - bottom }));
    axes.append(shape("text", { x: at.x(value), y: height - bottom + 17, "text-anchor": "middle" }, text));
  }
  for (const [value, text] of ticksOf(y, at.box.height)) {
    if (grid) axes.append(shape("line", { x1: left, x2: width - right, y1: at.y(value), y2: at.y(value) }));
    axes.append(shape("text", { x: left - 7, y: at.y(value) + 4, "text-anchor": "end" }, text));
  }
  axes.append(
    shape("rect", { x: left, y: top, width: at.box.width, height: at.box.height, class: "frame" }),
    shape("text", { x: left + at.box.width / 2, y: height - 6, "text-anchor": "middle", class: "label" }, x.label),
    shape(
      "text",
      {
        x: 14,
        y: top + at.box.height / 2,
        "text-anchor": "middle",
        class: "label",
        transform: `rotate(-90 14 ${top + at.box.height / 2})`,
      },
      y.label,
    ),
  );
  at.layer = shape("g");
  svg.append(axes, at.layer);
  return at;
}

/** Line through points [x, y] of a chart. */
function line(at, points, attributes) {
  const path = points
    .filter(([, y]) => Number.isFinite(y))
    .map(([x, y], i) => `${i ? "L" : "M"}${at.x(x).toFixed(1)} ${at.y(y).toFixed(1)}`)
    .join("");
  return shape("path", { d: path, fill: "none", ...attributes });
}

const MARKERS = {
  "band-pass": (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  blob: (r) => `M${-r * 0.9} ${-r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}z`,
  edge: (r) => `M${-r * 0.9} ${-r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}z`,
  "low-pass": (r) => `M0 ${-1.2 * r}L${1.15 * r} ${0.9 * r}H${-1.15 * r}z`,
};

/** Marker of a kind of kernels at a place. */
const marker = (kind, x, y, r, attributes) =>
  shape("path", {
    d: (MARKERS[kind] || MARKERS.blob)(r),
    transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
    ...attributes,
  });

/** Slider with its name and its value, which `show` words; `change` hears every move. */
function slider(name, { min, max, step, value, show, change, id }) {
  const output = element("output", {}, show(value));
  const input = element("input", {
    type: "range",
    min,
    max,
    step,
    value,
    id,
    "aria-label": name,
    oninput: () => change(Number(input.value)),
  });
  const row = element("label", { class: "slider" }, [element("span", {}, name), input, output]);
  row.set = (now, text) => {
    if (Number(input.value) !== now) input.value = now;
    output.textContent = text ?? show(now);
  };
  return row;
}

const button = (text, act, attributes = {}) => element("button", { type: "button", onclick: act, ...attributes }, text);

/** Choice among [value, text] pairs. */
function choice(name, options, value, change, id) {
  const select = element(
    "select",
    { id, "aria-label": name, onchange: () => change(select.value) },
    options.map(([key, text]) => element("option", { value: key, selected: String(key) === String(value) }, text)),
  );
  return element("label", { class: "choice" }, [element("span", {}, name), select]);
}
