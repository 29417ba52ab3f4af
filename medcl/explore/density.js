// Many points at once: their density first, points when a part is near enough. A browser draws a million as one cloud, slowly.
const DENSE = 60000, BIN = 2, MET = 4000;
const sheet = document.getElementById("density");

// Those of some rows that lie within the ranges of both axes.
function inside(rows, points, [[left, right], [low, high]]) {
  const count = about.count, found = new Int32Array(rows.length);
  let n = 0;
  for (const row of rows) {
    const x = points[row], y = points[count + row];
    if (x >= left && x <= right && y >= low && y <= high) found[n++] = row;
  }
  return found.subarray(0, n);
}

// Every k-th, so that a hand still meets some.
const some = (rows) => { const step = Math.ceil(rows.length / MET); return rows.filter((_, i) => i % step === 0); };

function rgb(context, colour) {
  context.fillStyle = colour;
  return [1, 3, 5].map((at) => parseInt(context.fillStyle.slice(at, at + 2), 16));
}

// The mean colour of what is in a cell, the denser the more of it; a selection stands out.
function shade(rows, points, ranges, paint, selected) {
  const width = Math.ceil(map.clientWidth / BIN), height = Math.ceil(map.clientHeight / BIN), context = sheet.getContext("2d");
  sheet.width = width;
  sheet.height = height;
  const colours = paint.classes.map((one) => rgb(context, one.colour)), [[left, right], [low, high]] = ranges;
  const sums = new Float32Array(4 * width * height), chosen = selected ? new Uint32Array(width * height) : null;
  let most = 1;
  for (const row of rows) {
    const x = Math.floor(((points[row] - left) / (right - left)) * width), y = Math.floor(((high - points[about.count + row]) / (high - low)) * height);
    if (!(x >= 0 && x < width && y >= 0 && y < height)) continue;
    const cell = y * width + x, colour = colours[paint.of ? paint.of[row] : 0];
    for (let i = 0; i < 3; i++) sums[4 * cell + i] += colour[i];
    most = Math.max(most, ++sums[4 * cell + 3]);
    if (selected?.has(row)) chosen[cell]++;
  }
  const image = context.createImageData(width, height), scale = Math.log1p(most);
  for (let cell = 0; cell < width * height; cell++) {
    const n = sums[4 * cell + 3];
    if (!n) continue;
    for (let i = 0; i < 3; i++) image.data[4 * cell + i] = sums[4 * cell + i] / n;
    image.data[4 * cell + 3] = 255 * (0.25 + (0.75 * Math.log1p(n)) / scale) * (chosen && !chosen[cell] ? 0.2 : 1);
  }
  context.putImageData(image, 0, 0);
}

// The rows within what a hand has drawn, a box or a loop.
function enclosed(rows, points, event) {
  if (event.range) return inside(rows, points, [event.range.x, event.range.y].map((one) => [...one].sort((a, b) => a - b)));
  const { x, y } = event.lassoPoints, count = about.count;
  return inside(rows, points, [x, y].map((one) => [Math.min(...one), Math.max(...one)])).filter((row) => {
    let odd = false;
    for (let i = 0, j = x.length - 1; i < x.length; j = i++) {
      const up = y[i] > points[count + row] !== y[j] > points[count + row];
      if (up && points[row] < ((x[j] - x[i]) * (points[count + row] - y[i])) / (y[j] - y[i]) + x[i]) odd = !odd;
    }
    return odd;
  });
}
