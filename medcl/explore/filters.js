// Filters: of each column what is shown; a row is shown that passes all of them.
const filters = new Map();

function passing() {
  const tests = [...filters.values()], rows = [];
  for (let row = 0; row < about.count; row++) if (tests.every((test) => test(row))) rows.push(row);
  return rows;
}

function setFilter(name, test, changed) {
  if (test) filters.set(name, test);
  else filters.delete(name);
  document.getElementById("filtering").textContent = filters.size ? String(filters.size) : "";
  changed();
}

function categoryFilter(one, changed) {
  const codes = array(one.codes), counts = new Map(), off = new Set();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b).map((code) => {
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      if (box.checked) off.delete(code);
      else off.add(code);
      setFilter(one.name, off.size ? (row) => !off.has(codes[row]) : null, changed);
    });
    return element("label", {}, box, code < 0 ? "missing" : one.names[code], element("small", {}, counts.get(code).toLocaleString("en")));
  });
}

function numberFilter(one, changed) {
  const numbers = array(one.numbers), known = numbers.filter((value) => !Number.isNaN(value));
  const low = known.reduce((a, b) => Math.min(a, b), Infinity), high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const field = (label) => element("input", { type: "number", step: "any", "aria-label": `${one.name} ${label}`, placeholder: shortNumber(label === "from" ? low : high) });
  const from = field("from"), to = field("to"), missing = element("input", { type: "checkbox", checked: true });
  const change = () => {
    const least = from.value === "" ? -Infinity : Number(from.value), most = to.value === "" ? Infinity : Number(to.value), also = missing.checked;
    const open = least === -Infinity && most === Infinity && also;
    setFilter(one.name, open ? null : (row) => (Number.isNaN(numbers[row]) ? also : numbers[row] >= least && numbers[row] <= most), changed);
  };
  for (const input of [from, to, missing]) input.addEventListener("change", change);
  const lost = numbers.length - known.length;
  return [element("div", { className: "range" }, from, "to", to), ...(lost ? [element("label", {}, missing, "missing", element("small", {}, lost.toLocaleString("en")))] : [])];
}

function drawFilters(changed) {
  const sheet = document.getElementById("filter-sheet");
  if (!sheet) return;
  filters.clear();
  document.getElementById("filtering").textContent = "";
  const parts = about.columns.map((one) => {
    const part = element("details", {}, element("summary", {}, one.name, element("span", { className: "muted" }, one.numbers ? "number" : plural(one.names.length, "value"))));
    part.addEventListener("toggle", () => { if (part.open && part.children.length === 1) part.append(...(one.numbers ? numberFilter : categoryFilter)(one, changed)); });
    return part;
  });
  const all = element("button", { type: "button", id: "unfilter" }, "show everything");
  all.addEventListener("click", () => { drawFilters(changed); changed(); });
  sheet.replaceChildren(...parts, all);
}
