// A small network and the dials that make its images unfamiliar, as in course_lib/probes/shifts.py,
// in plain numbers. Nothing here knows of a page; `bytesFromBase64` is in figure.js.

const SIDE = 8; // of an image, in pixels

// IEEE 754 halves, lowest byte first, as numbers.
function numbersFromHalves(text) {
  const halves = new Uint16Array(bytesFromBase64(text).buffer);
  return Float64Array.from(halves, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
  });
}

// The error function, by a series whose terms are all positive, so that nothing cancels.
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, total = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n += 1) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

const ACTIVATIONS = {
  "ReLU": (z) => Math.max(z, 0),
  "GELU": (z) => (z * (1 + erf(z / Math.SQRT2))) / 2,
  "GELU (tanh)": (z) =>
    (z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)))) / 2,
  "tanh": Math.tanh,
};

// A network from {layers: [{weight, bias}], activation}, the weights as halves, row by row.
function newNetwork({ layers, activation }) {
  const read = ({ weight, bias }) => [numbersFromHalves(weight), numbersFromHalves(bias)];
  return { layers: layers.map(read), act: ACTIVATIONS[activation] };
}

// The activations of the last hidden layer, and the logits.
function forward({ layers, act }, pixels) {
  let hidden = pixels, z = pixels;
  layers.forEach(([weight, bias], number) => {
    hidden = number ? z.map(act) : z;
    z = bias.map((b, row) => {
      let total = b;
      for (let i = 0; i < hidden.length; i += 1) total += weight[row * hidden.length + i] * hidden[i];
      return total;
    });
  });
  return { hidden: Array.from(hidden), logits: Array.from(z) };
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

// Pixels turned anticlockwise about the middle: each is looked up where it came from, between four
// pixels; what comes in from outside is 0.
function rotated(pixels, degrees) {
  const turn = (degrees * Math.PI) / 180, middle = (SIDE - 1) / 2;
  const [cosine, sine] = [Math.cos(turn), Math.sin(turn)];
  const at = (row, column) =>
    row >= 0 && row < SIDE && column >= 0 && column < SIDE ? pixels[row * SIDE + column] : 0;
  return Array.from({ length: SIDE * SIDE }, (_, i) => {
    const x = (i % SIDE) - middle, y = Math.floor(i / SIDE) - middle; // y points downwards
    const fromX = cosine * x - sine * y + middle, fromY = sine * x + cosine * y + middle;
    const column = Math.floor(fromX), row = Math.floor(fromY);
    const right = fromX - column, down = fromY - row;
    return (
      (1 - down) * ((1 - right) * at(row, column) + right * at(row, column + 1)) +
      down * ((1 - right) * at(row + 1, column) + right * at(row + 1, column + 1))
    );
  });
}

// An image under the dials, in this order. `noise` holds one draw for each pixel.
function shifted(pixels, { degrees, inversion, strength }, noise) {
  const turned = degrees ? rotated(pixels, degrees) : Array.from(pixels);
  return turned.map((value, i) => {
    const inverted = (1 - inversion) * value + inversion * (1 - value);
    return Math.min(1, Math.max(0, inverted + strength * noise[i]));
  });
}
