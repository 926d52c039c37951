// A trained network in plain JavaScript: a list of steps, each of which makes one array of others.
//
// An array (h, w, channels), or (n,), is a Float32Array, the last axis the fastest. Array 0 is the
// picture, and step i makes array i + 1. Sums are added up in 64 bits. An operation has `forward`,
// which fills the output `y`, and `backward`, which adds to `into`, the gradients of its inputs.
"use strict";

const OPERATIONS = {
  // A factor and a summand for each number, for each channel, or one for all.
  affine: {
    forward({ scale, offset }, [x], y) {
      for (let i = 0; i < y.length; i++) {
        y[i] = x[i] * scale[i % scale.length] + offset[i % offset.length];
      }
    },
    backward({ scale }, [x], y, gradient, [into]) {
      for (let i = 0; i < y.length; i++) into[i] += gradient[i] * scale[i % scale.length];
    },
  },

  // A convolution. A depthwise one has as many groups as its input has channels.
  conv: {
    forward(step, [x], y) {
      const { kernel, bias, groups, shape } = step;
      const filters = shape[2], share = filters / groups;
      const taps = new Int32Array(kernel.length / filters), patch = new Float32Array(taps.length);
      visitWindows(step, taps, (position, group) => {
        for (let k = 0; k < taps.length; k++) patch[k] = taps[k] < 0 ? 0 : x[taps[k]];
        multiply(patch, kernel, bias, group * share, (group + 1) * share, y, position * filters);
      });
    },
    backward(step, [x], y, gradient, [into]) {
      const { kernel, groups, shape } = step;
      const filters = shape[2], share = filters / groups;
      const taps = new Int32Array(kernel.length / filters);
      visitWindows(step, taps, (position, group) => {
        for (let k = 0; k < taps.length; k++) {
          if (taps[k] < 0) continue;
          let sum = 0;
          for (let o = group * share; o < (group + 1) * share; o++) {
            sum += gradient[position * filters + o] * kernel[k * filters + o];
          }
          into[taps[k]] += sum;
        }
      });
    },
  },

  // Units, each of which sees all numbers of the last axis.
  dense: {
    forward({ kernel, bias, length }, [x], y) {
      for (let row = 0; row * length < x.length; row++) {
        const numbers = x.subarray(row * length, (row + 1) * length);
        multiply(numbers, kernel, bias, 0, bias.length, y, row * bias.length);
      }
    },
    backward({ kernel, bias, length }, [x], y, gradient, [into]) {
      for (let i = 0; i < x.length; i++) {
        const from = Math.floor(i / length) * bias.length, row = (i % length) * bias.length;
        let sum = 0;
        for (let o = 0; o < bias.length; o++) sum += gradient[from + o] * kernel[row + o];
        into[i] += sum;
      }
    },
  },

  // The largest number of a window, each channel by itself.
  maxPool: {
    forward(step, [x], y) {
      visitPools(step, (taps, place) => { y[place] = x[findLargest(x, taps)]; });
    },
    backward(step, [x], y, gradient, [into]) {
      visitPools(step, (taps, place) => { into[findLargest(x, taps)] += gradient[place]; });
    },
  },

  // The mean of those numbers of a window that lie within the array.
  averagePool: {
    forward(step, [x], y) {
      visitPools(step, (taps, place) => {
        let sum = 0;
        for (const i of taps) sum += x[i];
        y[place] = sum / taps.length;
      });
    },
    backward(step, [x], y, gradient, [into]) {
      visitPools(step, (taps, place) => {
        for (const i of taps) into[i] += gradient[place] / taps.length;
      });
    },
  },

  // The sum of arrays, each times its factor. A smaller array is repeated.
  sum: {
    forward({ factors }, inputs, y) {
      inputs.forEach((x, n) => {
        for (let i = 0; i < y.length; i++) y[i] += factors[n] * x[i % x.length];
      });
    },
    backward({ factors }, inputs, y, gradient, into) {
      into.forEach((own, n) => {
        for (let i = 0; i < y.length; i++) own[i % own.length] += factors[n] * gradient[i];
      });
    },
  },

  // The product of two arrays. A smaller array is repeated.
  product: {
    forward(step, [a, b], y) {
      for (let i = 0; i < y.length; i++) y[i] = a[i % a.length] * b[i % b.length];
    },
    backward(step, [a, b], y, gradient, [intoA, intoB]) {
      for (let i = 0; i < y.length; i++) {
        intoA[i % a.length] += gradient[i] * b[i % b.length];
        intoB[i % b.length] += gradient[i] * a[i % a.length];
      }
    },
  },

  // Arrays side by side along the last axis.
  concat: {
    forward(step, inputs, y) {
      visitParts(step, y, (n, i, place) => { y[place] = inputs[n][i]; });
    },
    backward(step, inputs, y, gradient, into) {
      visitParts(step, y, (n, i, place) => { into[n][i] += gradient[place]; });
    },
  },

  // Every `strides`th number along each axis from `start` on, and 0 beyond the edges.
  slice: {
    forward(step, [x], y) {
      visitSlice(step, (i, place) => { y[place] = x[i]; });
    },
    backward(step, [x], y, gradient, [into]) {
      visitSlice(step, (i, place) => { into[i] += gradient[place]; });
    },
  },

  // The same numbers in another shape.
  reshape: {
    forward(step, [x], y) { y.set(x); },
    backward(step, [x], y, gradient, [into]) {
      for (let i = 0; i < y.length; i++) into[i] += gradient[i];
    },
  },

  // A function of each number.
  relu: elementwise(({ slope, most }) => [
    (x) => (x > (most ?? Infinity) ? most : x > 0 ? x : slope * x),
    (x) => (x > (most ?? Infinity) ? 0 : x > 0 ? 1 : slope),
  ]),
  tanh: elementwise(() => [Math.tanh, (x) => 1 - Math.tanh(x) ** 2]),
  sigmoid: elementwise(() => [sigmoid, (x) => sigmoid(x) * sigmoid(-x)]),
  silu: elementwise(() => [
    (x) => x * sigmoid(x),
    (x) => sigmoid(x) * (1 + x * sigmoid(-x)),
  ]),
  elu: elementwise(({ scale, alpha }) => [
    (x) => scale * (x > 0 ? x : alpha * Math.expm1(x)),
    (x) => scale * (x > 0 ? 1 : alpha * Math.exp(x)),
  ]),
  // x times the probability that a normal number is below it: Hendrycks & Gimpel 2016,
  // arXiv:1606.08415. The approximation, with tanh, is theirs, too.
  gelu: elementwise(() => [
    (x) => x * computeNormal(x),
    (x) => computeNormal(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  ]),
  geluByTanh: elementwise(() => {
    const factor = 2 * Math.sqrt(2 / Math.PI);
    const z = (x) => factor * (x + 0.044715 * x ** 3);
    return [
      (x) => x * sigmoid(z(x)),
      (x) => sigmoid(z(x)) * (1 + x * sigmoid(-z(x)) * factor * (1 + 0.134145 * x ** 2)),
    ];
  }),

  // A function of each row along the last axis.
  softmax: rowwise(
    (x, y) => {
      const most = Math.max(...x);
      let sum = 0;
      for (const number of x) sum += Math.exp(number - most);
      for (let i = 0; i < y.length; i++) y[i] = Math.exp(x[i] - most) / sum;
    },
    (x, y, gradient, into) => {
      const common = addProducts(gradient, y);
      for (let i = 0; i < y.length; i++) into[i] += y[i] * (gradient[i] - common);
    },
  ),
  unitNorm: rowwise(
    (x, y) => {
      const norm = Math.max(Math.sqrt(addProducts(x, x)), 1e-12);
      for (let i = 0; i < y.length; i++) y[i] = x[i] / norm;
    },
    (x, y, gradient, into) => {
      const norm = Math.max(Math.sqrt(addProducts(x, x)), 1e-12), common = addProducts(gradient, y);
      for (let i = 0; i < y.length; i++) into[i] += (gradient[i] - y[i] * common) / norm;
    },
  ),
  layerNorm: rowwise(
    (x, y, { epsilon }) => {
      const mean = addAll(x) / x.length;
      const variance = addProducts(x, x) / x.length - mean ** 2;
      for (let i = 0; i < y.length; i++) y[i] = (x[i] - mean) / Math.sqrt(variance + epsilon);
    },
    (x, y, gradient, into, { epsilon }) => {
      const mean = addAll(x) / x.length;
      const deviation = Math.sqrt(addProducts(x, x) / x.length - mean ** 2 + epsilon);
      const first = addAll(gradient) / x.length, second = addProducts(gradient, y) / x.length;
      for (let i = 0; i < y.length; i++) {
        into[i] += (gradient[i] - first - y[i] * second) / deviation;
      }
    },
  ),
  largest: rowwise(
    (x, y) => { y[0] = Math.max(...x); },
    (x, y, gradient, into) => { into[x.indexOf(y[0])] += gradient[0]; },
  ),
  total: rowwise(
    (x, y) => { y[0] = addAll(x); },
    (x, y, gradient, into) => {
      for (let i = 0; i < x.length; i++) into[i] += gradient[0];
    },
  ),
};

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

// Returns the probability that a normal number is below x, to 1e-7: formula 7.1.26 of Abramowitz &
// Stegun, Handbook of Mathematical Functions.
function computeNormal(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x) * Math.SQRT1_2);
  const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const sum = factors.reduce((total, factor) => (total + factor) * t, 0);
  const tail = (sum * Math.exp((-x * x) / 2)) / 2;
  return x > 0 ? 1 - tail : tail;
}

// Returns an operation of each number. `choose(step)` returns the function and its derivative.
function elementwise(choose) {
  return {
    forward(step, [x], y) {
      const [compute] = choose(step);
      for (let i = 0; i < y.length; i++) y[i] = compute(x[i]);
    },
    backward(step, [x], y, gradient, [into]) {
      const [, differentiate] = choose(step);
      for (let i = 0; i < y.length; i++) into[i] += gradient[i] * differentiate(x[i]);
    },
  };
}

// Returns an operation of each row of `step.length` numbers.
function rowwise(forwardRow, backwardRow) {
  function visitRows(step, visit, arrays) {
    const rows = arrays[0].length / step.length;
    for (let row = 0; row < rows; row++) {
      const parts = arrays.map((array) => {
        const length = array.length / rows;
        return array.subarray(row * length, (row + 1) * length);
      });
      visit(...parts, step);
    }
  }
  return {
    forward(step, [x], y) { visitRows(step, forwardRow, [x, y]); },
    backward(step, [x], y, gradient, [into]) {
      visitRows(step, backwardRow, [x, y, gradient, into]);
    },
  };
}

function addAll(numbers) {
  let sum = 0;
  for (const number of numbers) sum += number;
  return sum;
}

function addProducts(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function findLargest(x, taps) {
  let best = taps[0];
  for (const i of taps) if (x[i] > x[best]) best = i;
  return best;
}

// Writes `patch` (length,) times the columns `first` to `end` of `kernel` (length, filters), plus
// `bias`, into `y` from `place` on. Four columns at a time are fast.
function multiply(patch, kernel, bias, first, end, y, place) {
  const filters = bias.length, length = patch.length;
  let o = first;
  for (; o + 4 <= end; o += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let k = 0, i = o; k < length; k++, i += filters) {
      const number = patch[k];
      a += number * kernel[i];
      b += number * kernel[i + 1];
      c += number * kernel[i + 2];
      d += number * kernel[i + 3];
    }
    y[place + o] = a + bias[o];
    y[place + o + 1] = b + bias[o + 1];
    y[place + o + 2] = c + bias[o + 2];
    y[place + o + 3] = d + bias[o + 3];
  }
  for (; o < end; o++) {
    let sum = 0;
    for (let k = 0; k < length; k++) sum += patch[k] * kernel[k * filters + o];
    y[place + o] = sum + bias[o];
  }
}

// For each position of the output and each group of channels, fills `taps` with the places in the
// input that the window sees, -1 beyond the edges, and calls `visit(position, group)`.
function visitWindows(step, taps, visit) {
  const { shape, size, strides, dilation, before, groups } = step;
  const [height, width, channels] = step.inputShapes[0];
  const depth = channels / groups;
  for (let row = 0, position = 0; row < shape[0]; row++) {
    for (let column = 0; column < shape[1]; column++, position++) {
      for (let group = 0; group < groups; group++) {
        let k = 0;
        for (let i = 0; i < size[0]; i++) {
          const y = row * strides[0] - before[0] + i * dilation[0];
          for (let j = 0; j < size[1]; j++) {
            const x = column * strides[1] - before[1] + j * dilation[1];
            const inside = y >= 0 && y < height && x >= 0 && x < width;
            const place = (y * width + x) * channels + group * depth;
            for (let c = 0; c < depth; c++) taps[k++] = inside ? place + c : -1;
          }
        }
        visit(position, group);
      }
    }
  }
}

// Calls `visit(taps, place)` for each number of the output of a pool, with the places within the
// input that it is made of.
function visitPools(step, visit) {
  const taps = new Int32Array(step.size[0] * step.size[1]), inside = new Int32Array(taps.length);
  visitWindows(step, taps, (position, channel) => {
    let count = 0;
    for (const i of taps) if (i >= 0) inside[count++] = i;
    visit(inside.subarray(0, count), position * step.groups + channel);
  });
}

// Calls `visit(n, i, place)` for each number of a concatenation: it is number i of input n.
function visitParts(step, y, visit) {
  const widths = step.inputShapes.map((shape) => shape.at(-1)), width = step.shape.at(-1);
  for (let row = 0; row * width < y.length; row++) {
    let place = row * width;
    widths.forEach((own, n) => {
      for (let i = 0; i < own; i++) visit(n, row * own + i, place++);
    });
  }
}

// Calls `visit(i, place)` for each number of the output that is number i of the input.
function visitSlice(step, visit) {
  const { start, strides, size } = step, [height, width, channels] = step.of;
  for (let row = 0, place = 0; row < size[0]; row++) {
    const y = start[0] + row * strides[0];
    for (let column = 0; column < size[1]; column++) {
      const x = start[1] + column * strides[1];
      for (let channel = 0; channel < size[2]; channel++, place++) {
        const c = start[2] + channel * strides[2];
        const inside = y >= 0 && y < height && x >= 0 && x < width && c >= 0 && c < channels;
        if (inside) visit((y * width + x) * channels + c, place);
      }
    }
  }
}

// Returns the bytes of a base64 text.
function decodeBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// A network whose `program` has the steps, and in `outputs` the numbers of arrays; `weights` is the
// base64 text of all weights, float32, to which the steps refer as [begin, length].
class Network {
  constructor(program, weights) {
    const numbers = new Float32Array(decodeBase64(weights).buffer);
    const shapes = [program.image, ...program.steps.map((step) => step.shape)];
    this.shapes = shapes;
    this.outputs = program.outputs;
    this.hasSingleLogit = program.single_logit;
    this.steps = program.steps.map((step) => {
      const arrays = Object.entries(step.weights ?? {}).map(
        ([name, [begin, length]]) => [name, numbers.subarray(begin, begin + length)],
      );
      const inputShapes = step.inputs.map((n) => shapes[n]);
      return { ...step, ...Object.fromEntries(arrays), inputShapes };
    });
  }

  // Returns all arrays for the pixels of a picture (H, W, C), 0 to 255.
  run(pixels) {
    const arrays = [Float32Array.from(pixels)];
    for (const step of this.steps) {
      const y = new Float32Array(countNumbers(step.shape));
      OPERATIONS[step.operation].forward(step, step.inputs.map((n) => arrays[n]), y);
      arrays.push(y);
    }
    return arrays;
  }

  // Returns the gradient of the score of class `target` with respect to array `source`. The score
  // is the logit, or with a single logit its difference to 0.
  differentiate(arrays, target, source) {
    const { scores } = this.outputs;
    const gradients = arrays.map((array, n) => n < source ? null : new Float32Array(array.length));
    if (this.hasSingleLogit) gradients[scores].fill(-1);
    gradients[scores][target] = 1;
    for (let n = scores; n > source; n--) {
      const step = this.steps[n - 1];
      const into = step.inputs.map((i) => gradients[i] ?? new Float32Array(arrays[i].length));
      const inputs = step.inputs.map((i) => arrays[i]);
      OPERATIONS[step.operation].backward(step, inputs, arrays[n], gradients[n], into);
    }
    return gradients[source];
  }

  // Returns the Grad-CAM map (h, w) of class `target`: the feature maps, each weighted by the mean
  // of its gradient, added up, and 0 where that is negative (Selvaraju et al. 2017).
  computeGradCam(arrays, target) {
    const { maps } = this.outputs, [height, width, channels] = this.shapes[maps];
    const gradient = this.differentiate(arrays, target, maps), weights = new Float64Array(channels);
    gradient.forEach((slope, i) => { weights[i % channels] += slope / (height * width); });
    return Float32Array.from({ length: height * width }, (_, position) => {
      const numbers = arrays[maps].subarray(position * channels, (position + 1) * channels);
      return Math.max(0, addProducts(numbers, weights));
    });
  }
}

function countNumbers(shape) {
  return shape.reduce((product, length) => product * length, 1);
}
