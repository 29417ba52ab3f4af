// What is shown of one record and of several: the card under the pointer, the record that was clicked, the selection.
const CARD_ROWS = 6, TILES = 12;

function look(row, large) {
  const shown = thumbnail(row);
  if (!shown) return null;
  const place = element("div", { className: "look" });
  if (shown.text) place.append(element("blockquote", {}, large ? shown.text : shown.text.slice(0, 220) + (shown.text.length > 220 ? "…" : "")));
  else if (shown.missing) place.append(element("p", { className: "muted" }, `No image: ${shown.missing}`));
  else {
    const drawn = element("img", { src: shown.image, alt: "" });
    drawn.addEventListener("load", () => { if (drawn.naturalWidth > 1.6 * drawn.naturalHeight) place.classList.add("signal"); });
    // The card that follows the pointer cannot be clicked.
    const opens = large && shown.large;
    place.append(opens ? element("button", { type: "button", className: "enlarge", "data-large": shown.large, "aria-label": "Enlarge" }, drawn) : drawn);
    if (shown.slice) place.replaceChildren(framed(drawn, shown.slice), element("p", { className: "muted sliced" }, shown.slice.label));
  }
  return place;
}

// A slice with the sides of the patient and a length.
function framed(drawn, { ends, length, share }) {
  const bar = element("i", { className: "scale" }, `${length} mm`);
  bar.style.width = `${100 * share}%`;
  return element("div", { className: "framed" }, drawn, element("b", {}, ends[0]), element("b", {}, ends[1]), length ? bar : "");
}

// The column that colours comes first, what is missing not at all.
function known(row, first, most) {
  const list = element("dl", { className: "known" });
  const order = [...about.columns].sort((a, b) => (b.name === first) - (a.name === first));
  let left = most;
  // A class of several is told by the column of all of them.
  const told = (one) => about.columns.some((other) => one.name !== first && one.name.startsWith(`${other.name}: `));
  for (const one of order) {
    const value = told(one) ? "" : valueOf(one, row);
    if (value === "" || left-- <= 0) continue;
    list.append(element("dt", {}, one.name), element("dd", {}, value));
  }
  const others = samePatient(row).length - 1;
  if (others >= 0) list.append(element("dt", {}, "patient"), element("dd", {}, others ? `${plural(others, "other point")}` : "no other points"));
  return list;
}

function showCard(row, x, y, first) {
  const card = document.getElementById("card"), stage = card.parentElement;
  card.replaceChildren(...[look(row, false), element("div", { className: "name" }, ids()[row]), known(row, first, CARD_ROWS)].filter(Boolean));
  card.hidden = false;
  const right = x + 18 + card.offsetWidth < stage.clientWidth;
  card.style.left = `${Math.max(4, right ? x + 18 : x - 18 - card.offsetWidth)}px`;
  card.style.top = `${Math.max(4, Math.min(y - 20, stage.clientHeight - card.offsetHeight - 8))}px`;
}

const hideCard = () => { document.getElementById("card").hidden = true; };

function tile(row, number, first, choose) {
  const shown = thumbnail(row), one = column(first), value = one ? valueOf(one, row) : "";
  // Ids that are paths differ at their ends.
  const short = ids()[row].split("/").pop();
  const button = element("button", { type: "button", title: ids()[row] },
    shown && shown.image && !shown.missing ? element("img", { src: shown.image, alt: "", decoding: "async" }) : "",
    number ? element("b", {}, String(number)) : "", value || (number ? "" : short),
    value || number ? element("span", {}, short) : "");
  button.addEventListener("click", () => choose(row));
  return element("li", {}, button);
}

function nearest(row) {
  if (!about.neighbours) return [];
  const { k, rows } = about.neighbours;
  return [...array(rows).subarray(row * k, (row + 1) * k)].filter((one) => one >= 0);
}

function showRecord(row, first, actions) {
  const place = document.getElementById("record");
  place.hidden = row === null;
  if (row === null) return;
  const near = nearest(row), patient = samePatient(row), one = column(first);
  const heading = element("h2", {}, "Record"), close = element("button", { type: "button" }, "close");
  close.addEventListener("click", () => actions.choose(null));
  const buttons = element("div", { className: "row" }, close);
  for (const { name, codes } of about.levels) {
    const of = array(codes), same = of[row] < 0 ? 0 : of.reduce((sum, code) => sum + (code === of[row]), 0);
    if (same < 2) continue;
    const only = element("button", { type: "button" }, `only this ${name} (${same})`);
    only.addEventListener("click", () => actions.only(name, of[row]));
    buttons.append(only);
  }
  place.replaceChildren(heading, ...[look(row, true)].filter(Boolean), element("div", { className: "name" }, ids()[row]), known(row, first, Infinity), buttons);
  if (!thumbnail(row)) place.insertBefore(element("p", { className: "muted" }, "No image of this record in this page."), buttons);
  if (!near.length) return;
  const own = near.filter((other) => patient.includes(other)).length;
  const alike = one?.names && valueOf(one, row) !== "" ? near.filter((other) => valueOf(one, other) === valueOf(one, row)).length : null;
  const said = [own ? `${own} of the same patient` : "", alike !== null ? `${alike} of the same ${first}` : ""].filter(Boolean).join(", ");
  place.append(element("h2", {}, `Nearest ${near.length}`), element("p", { className: "muted" }, `In the space of the embeddings, not on the map${said ? `: ${said}` : ""}.`),
    element("ol", { className: "near" }, ...near.map((other, i) => tile(other, i + 1, first, actions.choose))));
}

// Shares of each class in the selection and in all points.
function shares(rows, one) {
  const codes = array(one.codes), inside = new Map(), all = new Map();
  for (const row of rows) inside.set(codes[row], (inside.get(codes[row]) ?? 0) + 1);
  for (const code of codes) all.set(code, (all.get(code) ?? 0) + 1);
  const percent = (part, whole) => `${((100 * part) / whole).toFixed(part / whole < 0.0995 ? 1 : 0)}%`;
  const body = [...inside].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([code, count]) => element("tr", {},
    element("th", { scope: "row", className: "word" }, code < 0 ? "missing" : one.names[code]), element("td", {}, count.toLocaleString("en")),
    element("td", {}, percent(count, rows.length)), element("td", { className: "muted" }, `${interval(count, rows.length).map((bound) => (100 * bound).toFixed(bound < 0.0995 ? 1 : 0)).join("–")}%`),
    element("td", {}, percent(all.get(code), about.count))));
  const head = ["", "points", "selection", "95% CI", "all"].map((text) => element("th", { scope: "col" }, text));
  return element("table", { className: "shares" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

function save(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function csv(rows) {
  // A cell that a spreadsheet would take for a formula is kept from being one.
  const formula = (value) => /^[=+@\t\r]/.test(value) || (/^-/.test(value) && !/^-\d*[.,]?\d+(e[-+]?\d+)?$/i.test(value));
  const cell = (value) => (formula(value) ? `"'${value.replaceAll('"', '""')}"` : /[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = [["record_id", ...about.columns.map((one) => one.name)].map(cell).join(",")];
  const minus = (value) => value.replace("−", "-");
  for (const row of rows) lines.push([cell(ids()[row]), ...about.columns.map((one) => (one.numbers ? minus(valueOf(one, row)) : cell(valueOf(one, row))))].join(","));
  return `${lines.join("\n")}\n`;
}

function showSelection(rows, first, actions) {
  const place = document.getElementById("selection"), heading = element("h2", {}, "Selection");
  const button = (text, id, action) => {
    const made = element("button", { type: "button", id }, text);
    made.addEventListener("click", action);
    return made;
  };
  if (!rows.length) {
    place.replaceChildren(heading, element("p", { className: "muted" }, "Select points with the lasso or the box, or all that are shown: their ids are listed here and can be saved. Click a point to see its nearest neighbours."),
      element("div", { className: "row" }, button("select all shown", "select-shown", actions.all)));
    return;
  }
  const names = ids(), patient = level("patient"), one = column(first);
  const patients = patient ? new Set(rows.map((row) => array(patient.codes)[row]).filter((code) => code >= 0)).size : 0;
  const drawable = rows.filter((row) => { const shown = thumbnail(row); return shown && shown.image && !shown.missing; });
  const step = Math.max(1, Math.floor(drawable.length / TILES)), tiles = drawable.filter((_, i) => i % step === 0).slice(0, TILES);
  const list = element("textarea", { id: "selected-ids", readOnly: true, "aria-label": "Ids of the selection", spellcheck: false });
  list.value = rows.slice(0, 2000).map((row) => names[row]).join("\n") + (rows.length > 2000 ? `\n… and ${plural(rows.length - 2000, "other")}: save them` : "");
  place.replaceChildren(heading, element("p", { id: "selected" }, plural(rows.length, "point") + (patients ? ` of ${plural(patients, "patient")}` : "")),
    element("div", { className: "row" },
      button("save ids .txt", "save-txt", () => save(`${about.file}.selection.txt`, `${rows.map((row) => names[row]).join("\n")}\n`, "text/plain")),
      button("save table .csv", "save-csv", () => save(`${about.file}.selection.csv`, csv(rows), "text/csv")),
      button("clear", "clear-selection", actions.clear)),
    ...(one?.names ? [element("p", { className: "muted" }, `${first} in the selection, with Wilson's interval of its points (wider where patients have several), and in all points`), shares(rows, one)] : []),
    ...(tiles.length ? [element("ul", { className: "tiles" }, ...tiles.map((row) => tile(row, 0, first, actions.choose)))] : []),
    element("p", { className: "muted" }, "Ids"), list);
}
