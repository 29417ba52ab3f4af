// What the page holds. A block is decoded when it is first needed, so that the map is there before the rest.
const about = JSON.parse(document.getElementById("about").textContent);
const decoded = new Map();

const block = (number) => document.getElementById(`block-${number}`).textContent;

function bytes(number) {
  const text = block(number);
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const plain = atob(text), out = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) out[i] = plain.charCodeAt(i);
  return out;
}

function once(number, make) {
  if (!decoded.has(number)) decoded.set(number, make(number));
  return decoded.get(number);
}

const kinds = { Float32Array, Int32Array, Int16Array, Int8Array };
const array = (part) => once(part.block, (number) => new kinds[part.type](bytes(number).buffer));
const json = (part) => once(part.block, (number) => JSON.parse(block(number)));
const ids = () => once(about.ids.block, (number) => new TextDecoder().decode(bytes(number)).split("\n"));

const column = (name) => about.columns.find((one) => one.name === name);
const level = (name) => about.levels.find((one) => one.name === name);

// Rows of each patient, in order; -1 is none.
function rowsOf(codes) {
  const found = new Map();
  codes.forEach((code, row) => {
    if (code < 0) return;
    if (found.has(code)) found.get(code).push(row);
    else found.set(code, [row]);
  });
  return found;
}

let patientRows = null;
function samePatient(row) {
  const patient = level("patient");
  if (!patient) return [];
  const codes = array(patient.codes);
  patientRows ??= rowsOf(codes);
  return patientRows.get(codes[row]) ?? [];
}

function shortNumber(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value).replace("-", "−");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

// A column's value in words; empty where it is missing.
function valueOf(one, row) {
  if (one.numbers) {
    const value = array(one.numbers)[row];
    return Number.isNaN(value) ? "" : shortNumber(value);
  }
  const code = array(one.codes)[row];
  return code < 0 ? "" : one.names[code];
}

function thumbnail(row) {
  const all = json(about.thumbnails), found = all.rows[row];
  return found && { image: all.images[found[0]], text: found[1], missing: found[2], large: found[3], slice: found[4] };
}

// Wilson's 95% interval of a share; of points, so that several of one patient make the true one wider.
function interval(part, whole) {
  const z = 1.959964, share = part / whole, middle = share + (z * z) / (2 * whole), spread = z * Math.sqrt((share * (1 - share)) / whole + (z * z) / (4 * whole * whole));
  return [middle - spread, middle + spread].map((bound) => Math.min(1, Math.max(0, bound / (1 + (z * z) / whole))));
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// An element with its children: text is always text, never markup.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}
