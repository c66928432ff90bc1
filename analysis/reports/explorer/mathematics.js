"use strict";
// What the page computes. The functions have the names and meanings of the package's, and a test holds them to its
// numbers (tests/analysis/reports/test_explorer_page.py). Frequencies in rad/pixel, axis order (y, x), float64.

const TURN = 2 * Math.PI;

// ---- phases of a pooling window (theory.md 3.2, 3.3) ----------------------------------------------------------------

/** Phases <omega, p> of the window's samples, p row by row from (-q, -q) to (q, q), in [0, 2 pi). */
function windowPhases(omega, q) {
  const phases = [];
  for (let y = -q; y <= q; y++) {
    for (let x = -q; x <= q; x++) {
      const phase = ((((omega[0] % TURN) * y + (omega[1] % TURN) * x) % TURN) + TURN) % TURN;
      phases.push(phase > TURN - 1e-9 ? 0 : phase); // a full turn less a rounding error
    }
  }
  return phases;
}

/** Largest cosine max_p cos(phi + phase_p) that the window sees. */
function largestCosine(phi, phases) {
  let largest = -1;
  for (const phase of phases) largest = Math.max(largest, Math.cos(phi + phase));
  return largest;
}

/** gamma_q(omega): root of the mean squared discrepancy of max pooling and modulus, for one wave of uniform phase. */
function gamma(omega, q) {
  const phases = Float64Array.from(windowPhases(omega, q)).sort();
  let sum = 0;
  for (let i = 0; i < phases.length; i++) {
    const next = i + 1 < phases.length ? phases[i + 1] : phases[0] + TURN;
    const half = (next - phases[i]) / 2;
    // Each gap adds the integral of (1 - cos t)^2 up to its half; where that cancels, the series.
    sum +=
      half < 0.25
        ? half ** 5 * (1 / 20 - half ** 2 * (1 / 168 - half ** 2 * (1 / 2880 - half ** 2 * 1.27765753e-5)))
        : 1.5 * half - 2 * Math.sin(half) + Math.sin(2 * half) / 4;
  }
  return Math.sqrt(sum / Math.PI);
}

/** gamma_q(m theta) over [-pi, pi]^2, points x points, rows are vertical frequencies; points is odd. */
function gammaMap(m, q, points) {
  const map = new Float64Array(points * points);
  const half = (points - 1) / 2;
  for (let i = 0; i <= half; i++) {
    for (let j = 0; j <= i; j++) {
      // the others are mirror images: gamma changes with no sign and no exchange of axes
      const value = gamma([(m * Math.PI * i) / half, (m * Math.PI * j) / half], q);
      for (const [y, x] of [
        [i, j],
        [j, i],
      ]) {
        for (const row of [half - y, half + y])
          for (const column of [half - x, half + x]) map[row * points + column] = value;
      }
    }
  }
  return map;
}

// ---- Fourier transforms ---------------------------------------------------------------------------------------------

const plans = new Map();

/** Order and twiddle factors of the transform of n samples, n a power of two. */
function plan(n) {
  if (!plans.has(n)) {
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) order[i] = (order[i >> 1] >> 1) | (i & 1 ? n >> 1 : 0);
    const cosine = new Float64Array(n / 2),
      sine = new Float64Array(n / 2);
    for (let i = 0; i < n / 2; i++) [cosine[i], sine[i]] = [Math.cos((TURN * i) / n), -Math.sin((TURN * i) / n)];
    plans.set(n, { order, cosine, sine });
  }
  return plans.get(n);
}

/** Fourier transform of n samples in place, from `start` in steps of `step`; inverse: of the conjugate, without 1/n. */
function transformLine(re, im, start, step, n, inverse, line) {
  const { order, cosine, sine } = plan(n);
  const a = line.re,
    b = line.im,
    sign = inverse ? -1 : 1;
  for (let i = 0; i < n; i++) {
    const at = start + step * order[i];
    a[i] = re[at];
    b[i] = im[at];
  }
  for (let half = 1; half < n; half *= 2) {
    const stride = n / (2 * half);
    for (let block = 0; block < n; block += 2 * half) {
      for (let k = 0; k < half; k++) {
        const c = cosine[k * stride],
          s = sign * sine[k * stride],
          i = block + k,
          j = i + half;
        const x = a[j] * c - b[j] * s,
          y = a[j] * s + b[j] * c;
        a[j] = a[i] - x;
        b[j] = b[i] - y;
        a[i] += x;
        b[i] += y;
      }
    }
  }
  for (let i = 0; i < n; i++) {
    re[start + step * i] = a[i];
    im[start + step * i] = b[i];
  }
}

/** Complex array of n x n zeros. */
function complexZeros(n) {
  return { re: new Float64Array(n * n), im: new Float64Array(n * n), n };
}

/** Fourier transform over both axes, in place; of the inverse, only every rows-th row is finished. */
function transform(field, inverse = false, rows = 1) {
  const { re, im, n } = field;
  const line = { re: new Float64Array(n), im: new Float64Array(n) };
  for (let x = 0; x < n; x++) transformLine(re, im, x, n, n, inverse, line);
  for (let y = 0; y < n; y += rows) transformLine(re, im, y * n, 1, n, inverse, line);
  if (inverse) {
    for (let i = 0; i < n * n; i++) {
      re[i] /= n * n;
      im[i] /= n * n;
    }
  }
  return field;
}

// ---- complex filters (theory.md 1; wavelets.complex_filters) --------------------------------------------------------

/** Frequencies of n samples in the order of the transform, 0 in place of the Nyquist frequency. */
function frequencies(n) {
  return Array.from({ length: n }, (_, k) => (2 * k === n ? 0 : (TURN * (2 * k < n ? k : k - n)) / n));
}

/** Sign of each frequency of an n x n grid: +1 in the half-plane that looks along `direction`, -1 outside, else 0. */
function halfPlaneSign(n, [eY, eX]) {
  const tie = 1e-9,
    omega = frequencies(n),
    sign = new Int8Array(n * n);
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < n; x++) {
      const along = omega[y] * eY + omega[x] * eX;
      const across = (omega[y] * eX - omega[x] * eY) * (Math.abs(eX) >= Math.abs(eY) - tie ? 1 : -1);
      sign[y * n + x] = Math.sign(Math.abs(along) > tie ? along : across);
    }
  }
  return sign;
}

/** Complex filter W = V + i H(V), n x n with V in the middle, of a real kernel V (h x w, row by row). */
function analytic(v, h, w, n, direction) {
  const sign = halfPlaneSign(n, direction);
  const cosine = Array.from({ length: n }, (_, k) => Math.cos((TURN * k) / n));
  const sine = Array.from({ length: n }, (_, k) => Math.sin((TURN * k) / n));
  const top = (n - h) >> 1,
    left = (n - w) >> 1;
  // V^ = E_y V E_x, then the mask 1 + s, then back with opposite phases. Any n, so by sums; n is a few dozens.
  const multiply = (field, rows, columns, shiftIn, shiftOut, turn) => {
    // Sum over the rows of a field (rows x columns): result n x columns.
    const re = new Float64Array(n * columns),
      im = new Float64Array(n * columns);
    for (let k = 0; k < n; k++) {
      for (let y = 0; y < rows; y++) {
        const angle = ((k + shiftOut) * (y + shiftIn)) % n,
          c = cosine[angle],
          s = turn * sine[angle];
        for (let x = 0, i = k * columns, j = y * columns; x < columns; x++, i++, j++) {
          re[i] += field.re[j] * c - field.im[j] * s;
          im[i] += field.re[j] * s + field.im[j] * c;
        }
      }
    }
    return { re, im };
  };
  const transposed = (field, rows, columns) => {
    const re = new Float64Array(rows * columns),
      im = new Float64Array(rows * columns);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        re[x * rows + y] = field.re[y * columns + x];
        im[x * rows + y] = field.im[y * columns + x];
      }
    }
    return { re, im };
  };
  let field = multiply({ re: Float64Array.from(v), im: new Float64Array(h * w) }, h, w, top, 0, -1);
  field = transposed(multiply(transposed(field, n, w), w, n, left, 0, -1), n, n);
  for (let i = 0; i < n * n; i++) {
    field.re[i] *= (1 + sign[i]) / (n * n);
    field.im[i] *= (1 + sign[i]) / (n * n);
  }
  field = multiply(field, n, n, 0, 0, 1);
  field = transposed(multiply(transposed(field, n, n), n, n, 0, 0, 1), n, n);
  return { ...field, n };
}

/** Separable filter a[y] b[x] from its factors, 2 x K complex numbers, real and imaginary parts in turns. */
function separable(parts, K) {
  const filter = complexZeros(K);
  for (let y = 0; y < K; y++) {
    for (let x = 0; x < K; x++) {
      const [a, b, c, d] = [parts[2 * y], parts[2 * y + 1], parts[2 * (K + x)], parts[2 * (K + x) + 1]];
      filter.re[y * K + x] = a * c - b * d;
      filter.im[y * K + x] = a * d + b * c;
    }
  }
  return filter;
}

// ---- translation, RMax and CMod on a periodic picture (theory.md 1 and 2) -------------------------------------------

/** Spectra of the channels of a picture, each n x n, n a power of two. */
function spectra(channels, n) {
  return channels.map((pixels) => transform({ re: Float64Array.from(pixels), im: new Float64Array(n * n), n }));
}

/** Spectrum of the responses Z[n] = sum over channels and k of X[n + k - N/2] W[k]. */
function responseSpectrum(pictures, filters) {
  const n = pictures[0].n,
    sum = complexZeros(n);
  pictures.forEach((picture, channel) => {
    const filter = filters[channel],
      N = filter.n,
      middle = N >> 1,
      kernel = complexZeros(n);
    for (let y = 0; y < N; y++) {
      for (let x = 0; x < N; x++) {
        // Reversed: a correlation is the convolution with W[-k].
        const at = ((middle - y + n) % n) * n + ((middle - x + n) % n);
        kernel.re[at] += filter.re[y * N + x];
        kernel.im[at] += filter.im[y * N + x];
      }
    }
    transform(kernel);
    for (let i = 0; i < n * n; i++) {
      sum.re[i] += picture.re[i] * kernel.re[i] - picture.im[i] * kernel.im[i];
      sum.im[i] += picture.re[i] * kernel.im[i] + picture.im[i] * kernel.re[i];
    }
  });
  return sum;
}

/** Factors of the spectrum along one axis that translate by u pixels, [cosines, sines]. */
function translation(n, u) {
  const cosine = new Float64Array(n),
    sine = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const angle = (-TURN * (2 * k < n ? k : k - n) * u) / n;
    [cosine[k], sine[k]] = 2 * k === n ? [Math.cos(Math.PI * u), 0] : [Math.cos(angle), Math.sin(angle)]; // Nyquist: real pictures
  }
  return [cosine, sine];
}

/**
 * Field translated by u = (down, right) pixels, whole or fractional (Shannon's interpolation), at every m-th position,
 * from its spectrum. Where m divides n, sampling is a folding of the spectrum, and the transform a small one.
 */
function translated(spectrum, [uY, uX], m = 1) {
  const { re, im, n } = spectrum,
    folds = n % m === 0,
    size = folds ? n / m : n,
    moved = complexZeros(size);
  const [vertical, horizontal] = [translation(n, uY), translation(n, uX)];
  for (let y = 0, i = 0; y < n; y++) {
    const [a, b] = [vertical[0][y], vertical[1][y]],
      row = (y % size) * size;
    for (let x = 0; x < n; x++, i++) {
      const c = horizontal[0][x],
        d = horizontal[1][x],
        e = a * c - b * d,
        f = a * d + b * c,
        at = row + (x % size);
      moved.re[at] += re[i] * e - im[i] * f;
      moved.im[at] += re[i] * f + im[i] * e;
    }
  }
  transform(moved, true, folds ? 1 : m);
  const part = folds ? 1 / m ** 2 : 1,
    positions = Math.floor((n - 1) / m) + 1,
    step = folds ? 1 : m,
    sampled = complexZeros(positions);
  for (let y = 0; y < positions; y++) {
    for (let x = 0; x < positions; x++) {
      const from = y * step * size + x * step,
        at = y * positions + x;
      [sampled.re[at], sampled.im[at]] = [part * moved.re[from], part * moved.im[from]];
    }
  }
  return sampled;
}

/** RMax and CMod of responses at stride m: windows of 2q + 1 positions, every second one, inside the picture. */
function pooled({ re, im, n }, q) {
  const side = Math.floor((n - 2 * q - 1) / 2) + 1,
    rmax = new Float64Array(side * side),
    cmod = new Float64Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      let largest = -Infinity;
      for (let row = 2 * y; row <= 2 * (y + q); row++)
        for (let column = 2 * x; column <= 2 * (x + q); column++) largest = Math.max(largest, re[row * n + column]);
      const centre = (2 * y + q) * n + 2 * x + q;
      rmax[y * side + x] = largest;
      cmod[y * side + x] = Math.hypot(re[centre], im[centre]);
    }
  }
  return { rmax, cmod, side };
}

/** Relative change ||moved - still|| / ||still||; NaN where nothing answers. */
function relativeChange(moved, still) {
  let difference = 0,
    energy = 0;
  for (let i = 0; i < still.length; i++) {
    difference += (moved[i] - still[i]) ** 2;
    energy += still[i] ** 2;
  }
  return energy > 0 ? Math.sqrt(difference / energy) : NaN;
}

// ---- Theorem 1 (theory.md 3.1) --------------------------------------------------------------------------------------

/** Best constant of the theorem, 2 sin(min(t, pi) / 4) for t = kappa ||u||_1. */
const alphaSharp = (t) => 2 * Math.sin(Math.min(t, Math.PI) / 4);

const BINS = 7,
  SAMPLES = 16; // of the envelopes: a square of 7 x 7 frequencies, sampled without aliasing

/** Random numbers in [0, 1) from a seed: mulberry32. */
function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Random envelope with a square spectrum: Gaussian, a few waves, a pulse, or two waves in opposite corners. */
function envelope(kind, random) {
  const c = complexZeros(BINS);
  const wave = (at, size = 1) => {
    const angle = TURN * random();
    c.re[at] += size * Math.cos(angle);
    c.im[at] += size * Math.sin(angle);
  };
  if (kind === "gaussian") for (let i = 0; i < BINS * BINS; i++) wave(i, Math.sqrt(-Math.log(1 - random())));
  if (kind === "sparse") for (let i = 0; i < 3; i++) wave(Math.floor(BINS * BINS * random()), random());
  if (kind === "pulse") {
    const [y0, x0] = [random(), random()];
    for (let i = 0; i < BINS * BINS; i++) {
      const angle = TURN * (Math.floor(i / BINS) * y0 + (i % BINS) * x0);
      [c.re[i], c.im[i]] = [Math.cos(angle), Math.sin(angle)];
    }
  }
  if (kind === "corners") [0, BINS * BINS - 1].forEach((at) => wave(at));
  return c;
}

/** Moduli of an envelope at its SAMPLES^2 positions after a shift; its square has the side kappa, u in pixels. */
function moduli(c, kappa, u) {
  const field = complexZeros(SAMPLES),
    values = new Float64Array(SAMPLES * SAMPLES);
  for (let y = 0; y < BINS; y++) {
    for (let x = 0; x < BINS; x++) {
      const from = y * BINS + x,
        at = y * SAMPLES + x;
      const angle = -kappa * ((y / (BINS - 1) - 0.5) * u[0] + (x / (BINS - 1) - 0.5) * u[1]),
        cosine = Math.cos(angle),
        sine = Math.sin(angle);
      field.re[at] = c.re[from] * cosine - c.im[from] * sine;
      field.im[at] = c.re[from] * sine + c.im[from] * cosine;
    }
  }
  transform(field, true);
  for (let i = 0; i < values.length; i++) values[i] = Math.hypot(field.re[i], field.im[i]);
  return values;
}

/** Relative change of CMod of an envelope by a shift. */
function modulusChange(c, kappa, u) {
  return relativeChange(moduli(c, kappa, u), moduli(c, kappa, [0, 0]));
}
