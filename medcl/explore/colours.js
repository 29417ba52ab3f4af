// Colours: eight that colour-blind people can distinguish, in three shapes; viridis for numbers; grey for what is missing.
const SHAPES = ["circle", "diamond", "square"], HUES = 8, STEPS = 40;
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
const NONE = { light: "#868e96", dark: "#78828c" }, REST = { light: "#7c6a58", dark: "#b09a84" };

const darkRule = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).find((rule) => rule instanceof CSSMediaRule && rule.conditionText.includes("prefers-color-scheme: dark"));
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let scheme = prefersDark.matches ? "dark" : "light";
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function setScheme(name) {
  scheme = name;
  // The page's dark colours are one rule; the switch says when it holds.
  darkRule.media.mediaText = name === "dark" ? "all" : "not all";
  document.documentElement.style.colorScheme = name;
  document.getElementById("scheme").textContent = name === "dark" ? "☀ light" : "☾ dark";
}

function ramp(share) {
  // Neither end may vanish into the page: the darkest violet in the dark, the lightest yellow in the light.
  const place = (scheme === "dark" ? 0.2 + 0.8 * share : 0.9 * share) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2), part = place - low;
  return `rgb(${VIRIDIS[low].map((value, i) => Math.round(value + part * (VIRIDIS[low + 1][i] - value))).join(",")})`;
}

// What a column paints: for each row the number of a class, and of each class its name, colour and shape.
function painted(one) {
  const missing = { name: "missing", colour: NONE[scheme], shape: "circle", missing: true };
  if (!one) return { of: null, classes: [{ name: "all points", colour: cssColour("--line-0"), shape: "circle" }] };
  return one.numbers ? paintedNumbers(one, missing) : paintedCategories(one, missing);
}

// Several labels at once are one class, however many combinations of them there are.
const isFolded = (one) => about.columns.some((other) => other.name.startsWith(`${one.name}: `));

function paintedCategories(one, missing) {
  const codes = array(one.codes), most = HUES * SHAPES.length, folded = isFolded(one);
  const single = [], several = [];
  one.names.forEach((name, code) => (folded && name.includes(" + ") ? several : single).push(code));
  const own = single.length > most - 1 ? most - 2 : single.length;
  const classes = single.slice(0, own).map((code, i) => ({ name: one.names[code], colour: cssColour(`--line-${i % HUES}`), shape: SHAPES[Math.floor(i / HUES)] }));
  const place = new Uint8Array(one.names.length);
  single.forEach((code, i) => { place[code] = Math.min(i, own); });
  if (own < single.length) classes.push({ name: `${single.length - own} others`, colour: REST[scheme], shape: "square", holds: single.slice(own) });
  several.forEach((code) => { place[code] = classes.length; });
  if (several.length) classes.push({ name: "several labels", colour: REST[scheme], shape: "diamond", holds: several });
  const last = classes.length;
  return { of: Uint8Array.from(codes, (code) => (code < 0 ? last : place[code])), classes: [...classes, missing], column: one };
}

function paintedNumbers(one, missing) {
  const numbers = array(one.numbers), known = numbers.filter((value) => !Number.isNaN(value)).sort();
  // One value far away must not make all others look alike.
  const at = (share) => known[Math.round(share * (known.length - 1))];
  let [low, high] = [at(0), at(1)];
  const clipped = high - low > 4 * (at(0.99) - at(0.01)) && at(0.99) > at(0.01);
  if (clipped) [low, high] = [at(0.01), at(0.99)];
  const width = high > low ? high - low : 1;
  const classes = Array.from({ length: STEPS }, (_, i) => ({ name: String(i), colour: ramp(i / (STEPS - 1)), shape: "circle" }));
  const of = Uint8Array.from(numbers, (value) => (Number.isNaN(value) ? STEPS : Math.max(0, Math.min(STEPS - 1, Math.floor(((value - low) / width) * STEPS)))));
  return { of, classes: [...classes, missing], low, high, clipped };
}

let order = "number", unfolded = false;

function sorter(changed) {
  const choice = element("select", { id: "legend-order", "aria-label": "Order of the legend" }, ...["number", "name"].map((one) => element("option", { value: one, selected: one === order }, `by ${one}`)));
  choice.addEventListener("change", () => { order = choice.value; changed(); document.getElementById("legend-order")?.focus(); });
  return element("label", { className: "field" }, "Sort", choice);
}

// The names that share a colour, on demand.
function held(one, codes, byName) {
  const of = array(one.codes), counts = new Map(codes.map((code) => [code, 0]));
  for (const code of of) if (counts.has(code)) counts.set(code, counts.get(code) + 1);
  const rows = [...counts].sort((a, b) => (byName ? one.names[a[0]].localeCompare(one.names[b[0]], "en", { numeric: true }) : b[1] - a[1]));
  const list = element("details", { open: unfolded }, element("summary", {}, `list ${rows.length}`), element("ul", { className: "held" }, ...rows.map(([code, count]) => element("li", {}, element("span", {}, one.names[code]), element("small", {}, count.toLocaleString("en"))))));
  list.addEventListener("toggle", () => { unfolded = list.open; });
  return list;
}

function drawLegend(paint, name, off, toggle) {
  const place = document.getElementById("legend"), counts = new Array(paint.classes.length).fill(0);
  if (paint.of) for (const one of paint.of) counts[one]++;
  else counts[0] = about.count;
  document.getElementById("legend-title").textContent = name || "Points";
  const entries = paint.classes.map((one, i) => ({ ...one, number: i })).filter((one) => counts[one.number]);
  const numeric = paint.low !== undefined, listed = entries.filter((one) => !numeric || one.missing);
  const byName = order === "name", placed = (one) => (one.missing ? 2 : one.holds ? 1 : 0);
  listed.sort((a, b) => placed(a) - placed(b) || (byName ? a.name.localeCompare(b.name, "en", { numeric: true }) : counts[b.number] - counts[a.number]));
  const list = element("ul", {}, ...listed.map((one) => {
    const mark = element("i", { className: `swatch ${one.shape}` });
    mark.style.setProperty("--mark", one.colour);
    const button = element("button", { type: "button", title: "show or hide; with Shift only this one", "aria-pressed": String(!off.has(one.number)) },
      mark, element("span", {}, one.name), element("small", {}, counts[one.number].toLocaleString("en")));
    button.addEventListener("click", (event) => toggle(one.number, event.shiftKey, entries.map((other) => other.number)));
    return element("li", {}, button, one.holds ? held(paint.column, one.holds, byName) : "");
  }));
  place.replaceChildren();
  if (listed.length > 2) place.append(sorter(() => drawLegend(paint, name, off, toggle)));
  if (numeric) {
    const bar = element("div", { className: "colourbar", role: "img", "aria-label": `from ${shortNumber(paint.low)} to ${shortNumber(paint.high)}` });
    bar.style.background = `linear-gradient(to right, ${Array.from({ length: 11 }, (_, i) => ramp(i / 10)).join(",")})`;
    const [below, above] = paint.clipped ? ["≤ ", "≥ "] : ["", ""];
    place.append(bar, element("div", { className: "ends" }, element("span", {}, below + shortNumber(paint.low)), element("span", {}, shortNumber((paint.low + paint.high) / 2)), element("span", {}, above + shortNumber(paint.high))));
  }
  place.append(list);
}
