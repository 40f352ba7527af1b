// The toy model x̂ = ReLU(WᵀW x + b) of course_lib/superposition, trained by Adam, in plain
// numbers. A model is {m, n, W, b}: W has m rows of n numbers, one after the other; column i is the
// direction of feature i. Nothing here knows of a page.

const zeros = (length) => new Float64Array(length);

// Numbers in [0, 1), the same for the same seed: a counter whose bits are mixed well (the finaliser
// of MurmurHash3).
function uniforms(seed) {
  let counter = Math.imul(seed + 1, 0x9e3779b9);
  return () => {
    counter = (counter + 0x6d2b79f5) | 0;
    let bits = counter ^ (counter >>> 16);
    bits = Math.imul(bits, 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  };
}

// A new model: W is Xavier-normal (by Box and Muller's formula), b is zero.
function newModel(m, n, draw) {
  const size = Math.sqrt(2 / (n + m));
  const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  const W = Float64Array.from({ length: m * n }, () => size * normal());
  return { m, n, W, b: zeros(n) };
}

// Inputs, `rows` times n: a feature is zero with probability `pZero`, else uniform in [0, 1].
function drawFeatures(rows, n, pZero, draw) {
  const x = zeros(rows * n);
  for (let i = 0; i < x.length; i += 1) {
    const u = draw();
    if (u > pZero) x[i] = (u - pZero) / (1 - pZero);
  }
  return x;
}

// The loss, the mean over inputs of Σ_i I_i (x_i − x̂_i)², and its gradients.
function lossAndGradients({ m, n, W, b }, x, importance) {
  const gW = zeros(m * n), gb = zeros(n);
  const hidden = zeros(m), gOut = zeros(n);
  const rows = x.length / n;
  let loss = 0;
  for (let row = 0; row < x.length; row += n) {
    for (let k = 0; k < m; k += 1) {
      hidden[k] = 0;
      for (let i = 0; i < n; i += 1) hidden[k] += W[k * n + i] * x[row + i];
    }
    for (let i = 0; i < n; i += 1) {
      let out = b[i];
      for (let k = 0; k < m; k += 1) out += W[k * n + i] * hidden[k];
      const missed = Math.max(out, 0) - x[row + i];
      loss += importance[i] * missed * missed;
      gOut[i] = out > 0 ? (2 * importance[i] * missed) / rows : 0;
      gb[i] += gOut[i];
    }
    for (let k = 0; k < m; k += 1) {
      let gHidden = 0;
      for (let i = 0; i < n; i += 1) gHidden += W[k * n + i] * gOut[i];
      // W stands in the model twice: on the way out, and on the way in.
      for (let i = 0; i < n; i += 1) gW[k * n + i] += hidden[k] * gOut[i] + gHidden * x[row + i];
    }
  }
  return { loss: loss / rows, W: gW, b: gb };
}

// Adam's running means for a model; `adamStep` changes both in place.
function newAdam({ W, b }) {
  const means = ({ length }) => ({ first: zeros(length), second: zeros(length) });
  return { steps: 0, W: means(W), b: means(b) };
}

function adamStep(model, gradients, adam, rate) {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
  adam.steps += 1;
  const size = rate / (1 - beta1 ** adam.steps);
  const unbias = Math.sqrt(1 - beta2 ** adam.steps);
  for (const name of ["W", "b"]) {
    const values = model[name], slopes = gradients[name];
    const { first, second } = adam[name];
    for (let i = 0; i < values.length; i += 1) {
      first[i] = beta1 * first[i] + (1 - beta1) * slopes[i];
      second[i] = beta2 * second[i] + (1 - beta2) * slopes[i] ** 2;
      values[i] -= (size * first[i]) / (Math.sqrt(second[i]) / unbias + epsilon);
    }
  }
}

// A training from a model as it is: `step()` takes one step and gives the loss before it. The
// learning rate falls to zero along a cosine, so that the model comes to rest.
function newTraining(model, { pZero, importance, steps, batchSize, rate, draw }) {
  const adam = newAdam(model);
  const step = () => {
    const x = drawFeatures(batchSize, model.n, pZero, draw);
    const gradients = lossAndGradients(model, x, importance);
    const factor = 0.5 * (1 + Math.cos((Math.PI * adam.steps) / steps));
    adamStep(model, gradients, adam, rate * factor);
    return gradients.loss;
  };
  return { step, done: () => adam.steps };
}

// WᵀW, n rows of n.
function gram({ m, n, W }) {
  const products = [];
  for (let i = 0; i < n; i += 1) {
    products.push(Array.from({ length: n }, (_, j) => {
      let sum = 0;
      for (let k = 0; k < m; k += 1) sum += W[k * n + i] * W[k * n + j];
      return sum;
    }));
  }
  return products;
}

// Each feature's share of a dimension, D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², from WᵀW.
function dimensionalities(products) {
  return products.map((row, i) => {
    const total = row.reduce((sum, value) => sum + value * value, 0);
    return total > 0 ? row[i] ** 2 / total : 0;
  });
}

// The loss of a model that stores nothing and answers with the means; and the least loss of the
// linear model, which loses all but its m most important features.
function lossOfNothing(pZero, importance, stored = 0) {
  const s = 1 - pZero;
  const lost = [...importance].sort((a, b) => b - a).slice(stored);
  return lost.reduce((sum, value) => sum + value, 0) * (s / 3 - (s * s) / 4);
}
