// The map: what is drawn, and what follows a hand on it.
const map = document.getElementById("map"), marks = document.getElementById("marks");
const state = { projection: 0, color: about.color, off: new Set(), rows: null, selected: [], chosen: null, hovered: null, mode: "pan", size: 0 };
let traces = [], paint = null, placed = null;

// Without WebGL the map is drawn slower, but it is drawn.
const kind = document.createElement("canvas").getContext("webgl") ? "scattergl" : "scatter";

const xy = () => array(about.projections[state.projection].xy);
let shown = new Int32Array(0), dense = false;

// One trace a class: a colour for each point would have to be told a browser 200,000 times.
function build(ranges) {
  const points = xy(), count = about.count, buckets = paint.classes.map(() => []), all = state.rows ?? Array.from({ length: count }, (_, row) => row);
  shown = Int32Array.from(all).filter((row) => !state.off.has(paint.of ? paint.of[row] : 0) && !Number.isNaN(points[row] + points[count + row]));
  let drawn = shown.length > DENSE ? inside(shown, points, ranges) : shown;
  dense = drawn.length > DENSE;
  if (dense) drawn = some(drawn);
  for (const row of drawn) buckets[paint.of ? paint.of[row] : 0].push(row);
  const selected = state.selected.length ? new Set(state.selected) : null;
  const made = paint.classes.map((one, i) => ({ one, rows: Int32Array.from(buckets[i]) })).filter((part) => part.rows.length);
  // What is missing lies below all others.
  made.sort((a, b) => Boolean(b.one.missing) - Boolean(a.one.missing));
  const opacity = dense ? 0 : drawn.length > 10000 ? 0.7 : 0.85;
  traces = made.map(({ one, rows }) => {
    const dim = selected ? { selectedpoints: [...rows.keys()].filter((i) => selected.has(rows[i])) } : {};
    return {
      type: kind, mode: "markers", hoverinfo: "none", showlegend: false, rows, name: one.name,
      x: Float32Array.from(rows, (row) => points[row]), y: Float32Array.from(rows, (row) => points[count + row]),
      marker: { color: one.colour, symbol: one.shape, size: one.shape === "circle" ? state.size : state.size * 1.15, opacity, line: { width: 0 } },
      selected: { marker: { opacity: dense ? 0 : 1 } }, unselected: { marker: { opacity: dense ? 0 : 0.14 } }, ...dim,
    };
  });
  document.getElementById("shown").textContent = shown.length.toLocaleString("en");
}

// The middle of the points and enough around it, with one scale for both directions.
function frame() {
  if (placed === state.projection) return {};
  placed = state.projection;
  const points = xy(), count = about.count, range = [[Infinity, -Infinity], [Infinity, -Infinity]];
  for (let i = 0; i < 2 * count; i++) {
    const value = points[i], one = range[i < count ? 0 : 1];
    if (value < one[0]) one[0] = value;
    if (value > one[1]) one[1] = value;
  }
  const width = map.clientWidth || 1, height = map.clientHeight || 1;
  const perPixel = Math.max((range[0][1] - range[0][0]) / width, (range[1][1] - range[1][0]) / height) * 1.08 || 1 / width;
  const around = ([low, high], pixels) => [(low + high) / 2 - (pixels * perPixel) / 2, (low + high) / 2 + (pixels * perPixel) / 2];
  const home = [around(range[0], width), around(range[1], height)];
  state.home = home;
  return { "xaxis.range": home[0], "yaxis.range": home[1] };
}

async function draw() {
  paint = painted(column(state.color));
  const moved = frame();
  const now = map.layout ? [map.layout.xaxis.range, map.layout.yaxis.range] : null;
  build(moved["xaxis.range"] ? state.home : now.map((one) => one.map(Number)));
  const axis = { showgrid: false, zeroline: false, showticklabels: false, ticks: "", fixedrange: false };
  const layout = {
    xaxis: { ...axis, range: [...(moved["xaxis.range"] ?? now[0])] }, yaxis: { ...axis, range: [...(moved["yaxis.range"] ?? now[1])], scaleanchor: "x" },
    margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, hovermode: "closest", hoverdistance: 12, dragmode: state.mode, selections: [],
    newselection: { line: { color: cssColour("--ink"), width: 1.5, dash: "solid" } },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: cssColour("--muted") },
  };
  await Plotly.react(map, traces, layout, { responsive: true, displayModeBar: false, scrollZoom: true, doubleClick: "reset" });
  drawLegend(paint, state.color, state.off, toggleClass);
  crowd();
  overlay();
}

// The cloud follows the axes; when a hand has come to rest, points take its place where they are few enough.
function crowd() {
  sheet.hidden = !dense;
  document.getElementById("crowd").hidden = !dense;
  const { xaxis, yaxis } = map._fullLayout;
  if (dense) shade(shown, xy(), [xaxis.range.map(Number), yaxis.range.map(Number)], paint, state.selected.length ? new Set(state.selected) : null);
}

let waiting = null, resting = null;
function moving() {
  if (shown.length <= DENSE) return;
  waiting ??= requestAnimationFrame(() => { waiting = null; crowd(); });
}
function rested() {
  if (shown.length <= DENSE) return;
  clearTimeout(resting);
  resting = setTimeout(draw, 150);
}

function toggleClass(number, alone, all) {
  if (alone) state.off = new Set(state.off.size === all.length - 1 && !state.off.has(number) ? [] : all.filter((one) => one !== number));
  else if (!state.off.delete(number)) state.off.add(number);
  const at = document.activeElement?.closest?.("#legend li"), place = at ? [...at.parentElement.children].indexOf(at) : -1;
  draw().then(() => document.querySelectorAll("#legend li button")[place]?.focus());
}

function pixel(row) {
  const points = xy(), { xaxis, yaxis } = map._fullLayout;
  return [xaxis._offset + xaxis.l2p(points[row]), yaxis._offset + yaxis.l2p(points[about.count + row])];
}

const svg = (tag, attributes, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
};

// Where a number stands beside its ring without covering another one: to the right, else around it, else further away.
function spot([cx, cy], text, taken) {
  const width = 7.5 * text.length + 1, height = 11;
  let box = null;
  for (let far = state.size / 2 + 11; far < 150 && !box; far += 7) {
    for (let turn = 0; turn < 12 && !box; turn++) {
      const angle = (turn % 2 ? -1 : 1) * Math.ceil(turn / 2) * (Math.PI / 6);
      const x = cx + far * Math.cos(angle) - width / 2, y = cy + far * Math.sin(angle) - height / 2;
      if (taken.every((other) => x + width <= other.x || other.x + other.width <= x || y + height <= other.y || other.y + other.height <= y)) box = { x, y, width, height };
    }
  }
  box ??= { x: cx, y: cy, width, height };
  taken.push(box);
  return [box.x, box.y + height - 1];
}

// Lines and rings lie above the points, so that a hand's every movement does not draw 200,000 of them again.
function overlay() {
  const parts = [], numbers = [], placeable = (row) => { const at = pixel(row); return !Number.isNaN(at[0] + at[1]); };
  const ring = (row, radius, kind = "") => {
    const [cx, cy] = pixel(row);
    parts.push(svg("circle", { cx, cy, r: radius, class: "under" }), svg("circle", { cx, cy, r: radius, class: kind, "data-row": row }));
    return [cx, cy];
  };
  const focus = state.hovered ?? state.chosen;
  if (focus !== null) {
    const same = samePatient(focus).filter(placeable);
    if (same.length > 1) {
      parts.push(svg("polyline", { points: same.map((row) => pixel(row).join(",")).join(" ") }));
      if (same.length <= 200) same.forEach((row) => ring(row, state.size / 2 + 2, "same"));
    }
  }
  if (state.chosen !== null && placeable(state.chosen)) {
    const near = nearest(state.chosen).filter(placeable), radius = state.size / 2 + 4;
    const rings = [...near.map((row) => ring(row, radius - 0.5, "near")), ring(state.chosen, radius + 1, "chosen")];
    const taken = rings.map(([x, y]) => ({ x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius }));
    near.forEach((_, i) => {
      const [x, y] = spot(rings[i], String(i + 1), taken);
      numbers.push(svg("text", { x, y }, String(i + 1)));
    });
  }
  if (state.hovered !== null && placeable(state.hovered)) ring(state.hovered, state.size / 2 + 3, "hovered");
  marks.replaceChildren(...parts, ...numbers);
}

function choose(row) {
  state.chosen = row;
  state.hovered = null;
  hideCard();
  showRecord(row, state.color, { choose, only });
  overlay();
}

function only(name, code) {
  const codes = array(level(name).codes);
  setFilter(`this ${name}`, (row) => codes[row] === code, refilter);
}

function select(rows) {
  state.selected = [...rows].sort((a, b) => a - b);
  showSelection(state.selected, state.color, { choose, clear: () => { select([]); draw(); }, all: () => { select(shown); draw(); } });
}

function refilter() {
  state.rows = filters.size ? passing() : null;
  draw();
}

function zoom(factor, right = 0, up = 0) {
  const ranges = ["xaxis", "yaxis"].map((name) => map.layout[name].range.map(Number));
  const moved = ranges.map(([low, high], i) => {
    const middle = (low + high) / 2 + (i ? up : right) * (high - low), half = ((high - low) / 2) * factor;
    return [middle - half, middle + half];
  });
  return Plotly.relayout(map, { "xaxis.range": moved[0], "yaxis.range": moved[1] });
}
const whole = () => { placed = null; return Plotly.relayout(map, frame()); };

function find(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return;
  const names = ids();
  let row = names.findIndex((name) => name.toLowerCase() === wanted);
  if (row < 0) row = names.findIndex((name) => name.toLowerCase().includes(wanted));
  const field = document.getElementById("find");
  field.setCustomValidity(row < 0 ? "no such id" : "");
  field.reportValidity();
  if (row >= 0) choose(row);
}

function listen() {
  map.on("plotly_hover", (event) => {
    const point = event.points[0], row = traces[point.curveNumber].rows[point.pointNumber];
    state.hovered = row;
    const [x, y] = pixel(row);
    showCard(row, x, y, state.color);
    overlay();
  });
  map.on("plotly_unhover", () => { state.hovered = null; hideCard(); overlay(); });
  map.on("plotly_click", (event) => choose(traces[event.points[0].curveNumber].rows[event.points[0].pointNumber]));
  map.on("plotly_selected", (event) => {
    // Drawing anew tells of a selection as well, of nothing that a hand has drawn.
    if (!event?.lassoPoints && !event?.range) return;
    select(dense ? enclosed(shown, xy(), event) : event.points.map((point) => traces[point.curveNumber].rows[point.pointNumber]));
    draw();
  });
  map.on("plotly_deselect", () => { if (state.selected.length) { select([]); draw(); } });
  for (const name of ["plotly_relayout", "plotly_relayouting", "plotly_afterplot"]) map.on(name, overlay);
  for (const name of ["plotly_relayout", "plotly_relayouting"]) map.on(name, moving);
  map.on("plotly_relayout", rested);
  map.addEventListener("keydown", (event) => {
    const act = { ArrowLeft: [1, -0.15, 0], ArrowRight: [1, 0.15, 0], ArrowUp: [1, 0, 0.15], ArrowDown: [1, 0, -0.15], "+": [0.8], "=": [0.8], "-": [1.25] }[event.key];
    if (event.key === "0") whole();
    else if (event.key === "Escape") choose(null);
    else if (act) zoom(...act);
    else return;
    event.preventDefault();
  });
  const on = (id, kind, action) => document.getElementById(id)?.addEventListener(kind, action);
  on("projections", "change", (event) => { state.projection = Number(event.target.value); draw(); });
  on("color", "change", (event) => {
    state.color = event.target.value;
    state.off.clear();
    draw();
    select(state.selected);
    showRecord(state.chosen, state.color, { choose, only });
  });
  on("size", "input", (event) => { state.size = Number(event.target.value); draw(); });
  on("modes", "change", (event) => { state.mode = event.target.value; Plotly.relayout(map, { dragmode: state.mode }); });
  on("nearer", "click", () => zoom(0.7));
  on("further", "click", () => zoom(1.4));
  on("whole", "click", whole);
  on("find", "change", (event) => find(event.target.value));
  on("scheme", "click", () => { setScheme(scheme === "dark" ? "light" : "dark"); draw(); });
  prefersDark.addEventListener("change", () => { setScheme(prefersDark.matches ? "dark" : "light"); draw(); });
  document.addEventListener("click", (event) => { const menu = document.getElementById("filters"); if (menu?.open && !menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => {
    const menu = document.getElementById("filters");
    if (event.key === "Escape" && menu?.open) { menu.open = false; menu.querySelector("summary").focus(); }
  });
}

state.size = about.count > 100000 ? 2.5 : about.count > 20000 ? 3.5 : about.count > 3000 ? 5 : 7;
document.getElementById("size").value = state.size;
setScheme(scheme);
drawFilters(refilter);
select([]);
draw().then(() => {
  listen();
  document.getElementById("loading").remove();
  document.documentElement.dataset.ready = "yes";
});
