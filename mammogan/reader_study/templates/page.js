"use strict";
(() => {
const study = JSON.parse(document.getElementById("study").textContent);
const element = (id) => document.getElementById(id);
const SHELF = `mammogan-reader-study/${study.study}/`;
const MOST_ZOOM = 16;

/* ---- answers: what is kept of one reader ---- */

let session = null; // {reader, experience, started, practised, position, answers: {case: {answer, confidence, seconds}}}
let kept = true; // whether the browser's storage holds the session as it is
let exported = false; // whether a file does

const identity = (name) => name.trim().split(/\s+/).join(" ").toLowerCase();

function shelved(name) {
  try { return readSession(localStorage.getItem(SHELF + identity(name))); } catch { return null; }
}

function shelve() {
  exported = false;
  try {
    localStorage.setItem(SHELF + identity(session.reader), JSON.stringify(session));
    kept = true;
  } catch { kept = false; }
  element("hint").dataset.kept = kept ? "" : "no";
}

function shelvedReaders() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(SHELF)).map((key) => readSession(localStorage.getItem(key))).filter(Boolean);
  } catch { return []; }
}

function readSession(text) {
  try {
    const found = JSON.parse(text);
    return found && typeof found.reader === "string" && found.answers && typeof found.answers === "object" ? found : null;
  } catch { return null; }
}

/** FNV-1a, 32 bits: which of the orders a reader has. */
function hash(text) {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}

const order = () => study.orders[hash(study.study + identity(session.reader)) % study.orders.length];
const total = () => study.cases.length;
const answered = () => Object.keys(session.answers).length;

function exportFile() {
  const answers = order().map((number) => study.cases[number].case).filter((name) => session.answers[name])
    .map((name) => ({ case: name, ...session.answers[name] }));
  const { reader, experience, started } = session;
  const content = { format: study.format, study: study.study, reader, experience, started, saved: new Date().toISOString(), answers };
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1) + "\n"], { type: "application/json" }));
  const link = document.createElement("a");
  const slug = identity(reader).normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "reader";
  link.download = `answers-${study.study.slice(0, 8)}-${slug}.json`;
  link.href = url;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  exported = true;
  return `Saved as ${link.download}, ${answers.length} of ${total()} answers, where this browser puts downloads.`;
}

function importFile(text) {
  let found = null;
  try { found = JSON.parse(text); } catch { throw Error("That file holds no answers."); }
  if (!found || typeof found.reader !== "string" || !Array.isArray(found.answers)) throw Error("That file holds no answers.");
  if (found.study !== study.study) throw Error("Those are answers to another study.");
  const known = new Set(study.cases.map((each) => each.case));
  const answers = {};
  for (const { case: name, answer, confidence, seconds } of found.answers) {
    if (!known.has(name) || !study.kinds.includes(answer) || !(confidence >= 1 && confidence <= 5)) throw Error("That file is damaged.");
    answers[name] = { answer, confidence, seconds: Number(seconds) || 0 };
  }
  session = { reader: found.reader, experience: String(found.experience || ""), started: String(found.started || ""), practised: true, position: 0, answers };
  session.position = firstOpen();
  shelve();
}

/** Place in the order of the first case without an answer; the number of cases where there is none. */
function firstOpen() {
  const open = order().findIndex((number) => !session.answers[study.cases[number].case]);
  return open < 0 ? total() : open;
}

/* ---- the image: zoom, position and grey window of what is shown ---- */

const canvas = element("image");
const drawing = canvas.getContext("2d");
const picture = document.createElement("canvas");
picture.width = study.columns;
picture.height = study.rows;
let pixels = null; // Uint8Array of the image shown
let view = null;

function plainView() { return { zoom: 1, x: 0.5, y: 0.5, brightness: 0, contrast: 0, invert: false }; }

function show(item) {
  const binary = atob(item.pixels);
  pixels = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  view = plainView();
  develop();
}

/** Grey values through the window into the picture: contrast -100..100 is a window 4 to 1/4 times as wide. */
function develop() {
  const slope = 4 ** (view.contrast / 100);
  const shades = Uint8ClampedArray.from({ length: 256 }, (_, grey) => (grey - 127.5) * slope + 127.5 + view.brightness);
  if (view.invert) shades.forEach((grey, index) => { shades[index] = 255 - grey; });
  const image = new ImageData(study.columns, study.rows);
  pixels.forEach((grey, index) => image.data.set([shades[grey], shades[grey], shades[grey], 255], 4 * index));
  picture.getContext("2d").putImageData(image, 0, 0);
  draw();
}

function draw() {
  if (!pixels) return;
  const room = element("viewer").getBoundingClientRect();
  const scale = Math.min(room.width / study.columns, room.height / study.rows);
  const [width, height] = [study.columns * scale, study.rows * scale];
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
  const share = 0.5 / view.zoom;
  view.x = Math.min(Math.max(view.x, share), 1 - share);
  view.y = Math.min(Math.max(view.y, share), 1 - share);
  drawing.imageSmoothingEnabled = true;
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(picture, (view.x - share) * study.columns, (view.y - share) * study.rows,
    study.columns / view.zoom, study.rows / view.zoom, 0, 0, canvas.width, canvas.height);
  canvas.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
  canvas.style.cursor = view.zoom > 1 ? "grab" : "default";
  element("zoom").textContent = `${Math.round(100 * view.zoom)}%`;
  element("brightness").value = view.brightness;
  element("contrast").value = view.contrast;
  element("invert").setAttribute("aria-pressed", String(view.invert));
}

/** Zoom by a factor; what lies at the point (0..1 of the canvas) stays there. */
function zoomBy(factor, x = 0.5, y = 0.5) {
  const before = view.zoom;
  view.zoom = Math.min(Math.max(before * factor, 1), MOST_ZOOM);
  view.x += (x - 0.5) * (1 / before - 1 / view.zoom);
  view.y += (y - 0.5) * (1 / before - 1 / view.zoom);
  draw();
}

function setWindow(brightness, contrast) {
  view.brightness = Math.min(Math.max(brightness, -127), 127);
  view.contrast = Math.min(Math.max(contrast, -100), 100);
  develop();
}

const fingers = new Map();

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...at(event));
}, { passive: false });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("dblclick", () => { view = plainView(); develop(); });
canvas.addEventListener("pointerdown", (event) => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  canvas.setPointerCapture(event.pointerId);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const [x, y] = [event.clientX - before[0], event.clientY - before[1]];
  if (fingers.size === 2) {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
    zoomBy(apart([event.clientX, event.clientY]) / apart(before), ...at(event));
  } else if (event.buttons === 2 || event.shiftKey) {
    setWindow(view.brightness - y / 2, view.contrast + x / 4);
  } else {
    const box = canvas.getBoundingClientRect();
    view.x -= x / box.width / view.zoom;
    view.y -= y / box.height / view.zoom;
    draw();
  }
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
});
new ResizeObserver(draw).observe(element("viewer"));

/* ---- time: only while the image is looked at ---- */

let since = null;
let looked = 0;

function watch() { since = document.hidden ? null : performance.now(); }
function rest() {
  if (since !== null) looked += (performance.now() - since) / 1000;
  since = null;
}
document.addEventListener("visibilitychange", () => { if (!element("reading").hidden) { rest(); watch(); } });

/* ---- screens ---- */

let practice = null; // number of the practice case that is shown; null in the study itself
let choice = null; // {answer, confidence} of the case shown

function screen(name) {
  for (const each of ["start", "reading", "interlude", "done"]) element(each).hidden = each !== name;
  if (name !== "reading") rest();
}

function interlude(title, text, label, go, save) {
  screen("interlude");
  element("interlude-title").textContent = title;
  element("interlude-text").textContent = text;
  element("interlude-go").textContent = label;
  element("interlude-go").onclick = go;
  element("interlude-save").hidden = !save;
  element("interlude-saved").textContent = "";
  element("interlude-go").focus();
}

function begin() {
  if (session.position >= total()) return finish();
  if (answered()) return paused("Welcome back");
  if (session.practised || !study.practice.length) return ready();
  practice = 0;
  return open();
}

function ready() {
  practice = null;
  session.practised = true;
  shelve();
  interlude("Now the study begins", `${total()} images follow. You can pause and go on later, on this computer and in this browser, or from a saved file on another one.`, "Show the first image", open, false);
}

function paused(title) {
  const left = kept ? "They are kept in this browser until you come back and give the same name." : "This browser keeps nothing: save them as a file before you close the page.";
  interlude(title, `${answered()} of ${total()} images are answered. ${left}`, "Go on", open, true);
}

function current() { return practice === null ? study.cases[order()[session.position]] : study.practice[practice]; }

function open() {
  screen("reading");
  const before = practice === null ? session.answers[current().case] : null;
  choice = before ? { answer: before.answer, confidence: before.confidence } : { answer: null, confidence: null };
  looked = before ? before.seconds : 0;
  show(current());
  const [number, count] = practice === null ? [session.position + 1, total()] : [practice + 1, study.practice.length];
  element("where").textContent = `${practice === null ? "Image" : "Practice"} ${number} of ${count}`;
  element("progress").value = (number - 1) / count;
  element("back").disabled = number === 1;
  mark();
  watch();
  canvas.focus({ preventScroll: true });
}

function mark() {
  for (const button of document.querySelectorAll("[data-kind]")) button.setAttribute("aria-pressed", String(button.dataset.kind === choice.answer));
  for (const button of document.querySelectorAll("[data-confidence]")) button.setAttribute("aria-pressed", String(Number(button.dataset.confidence) === choice.confidence));
  const ready = choice.answer !== null && choice.confidence !== null;
  element("next").disabled = !ready;
  const waits = choice.answer === null ? "Real or synthetic?" : "How sure are you?";
  element("hint").textContent = (ready ? "" : waits) + (practice === null ? "" : " Practice: this answer is not kept.") + (kept ? "" : " This browser keeps nothing; save a file before you close the page.");
}

function choose(change) {
  choice = { ...choice, ...change };
  mark();
}

function next() {
  if (choice.answer === null || choice.confidence === null) return;
  rest();
  if (practice !== null) {
    practice += 1;
    return practice < study.practice.length ? open() : ready();
  }
  session.answers[current().case] = { ...choice, seconds: Math.round(looked * 10) / 10 };
  session.position += 1;
  shelve();
  return session.position < total() ? open() : finish();
}

function back() {
  rest();
  if (practice !== null) practice = Math.max(0, practice - 1);
  else session.position = Math.max(0, session.position - 1);
  open();
}

function pause() {
  rest();
  if (practice !== null) return interlude("Paused", "You are in the practice.", "Go on", open, false);
  shelve();
  return paused("Paused");
}

function finish() {
  session.position = firstOpen();
  if (session.position < total()) return open();
  screen("done");
  element("saved").textContent = "";
  element("forget").hidden = true;
  element("save").focus();
}

/* ---- what buttons and keys do ---- */

function start() {
  screen("start");
  const readers = shelvedReaders();
  element("resumable").replaceChildren(...readers.map((each) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Go on as ${each.reader}: ${Object.keys(each.answers).length} of ${total()} answered`;
    button.onclick = () => { session = each; begin(); };
    return button;
  }));
  try { localStorage.setItem(SHELF + "?", ""); localStorage.removeItem(SHELF + "?"); } catch {
    kept = false;
    element("storage-problem").textContent = "This browser keeps nothing of this page: to pause, save your answers as a file.";
  }
  element("reader").focus();
}

element("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const reader = element("reader").value.trim().replace(/\s+/g, " ");
  element("who-problem").textContent = reader ? "" : "Please give your name.";
  if (!reader) return;
  session = shelved(reader) || { reader, experience: element("experience").value.trim(), started: new Date().toISOString(), practised: false, position: 0, answers: {} };
  begin();
});
element("continue-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  try {
    importFile(await file.text());
    begin();
  } catch (error) { element("who-problem").textContent = error.message; }
  event.target.value = "";
});
for (const button of document.querySelectorAll("[data-kind], [data-confidence]")) button.onclick = (event) => {
  choose(button.dataset.kind ? { answer: button.dataset.kind } : { confidence: Number(button.dataset.confidence) });
  if (event.detail) canvas.focus({ preventScroll: true }); // by mouse or finger: Enter then means the next image
};
element("next").onclick = next;
element("back").onclick = back;
element("pause").onclick = pause;
element("zoom-in").onclick = () => zoomBy(1.5);
element("zoom-out").onclick = () => zoomBy(1 / 1.5);
element("invert").onclick = () => { view.invert = !view.invert; develop(); };
element("reset").onclick = () => { view = plainView(); develop(); };
for (const name of ["brightness", "contrast"]) element(name).oninput = (event) => { view[name] = Number(event.target.value); develop(); };
element("interlude-save").onclick = () => { element("interlude-saved").textContent = exportFile(); };
element("review").onclick = () => { session.position = total() - 1; open(); };
element("save").onclick = () => {
  element("saved").textContent = exportFile();
  element("forget").hidden = false;
};
element("forget").onclick = () => {
  if (!confirm("Remove your answers from this browser? Do so only once you have found the saved file.")) return;
  try { localStorage.removeItem(SHELF + identity(session.reader)); } catch { /* nothing was kept */ }
  session = null;
  location.reload();
};

const KEYS = {
  Enter: next, Backspace: back, p: pause, i: () => element("invert").click(), 0: () => element("reset").click(),
  "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5),
  ArrowUp: () => setWindow(view.brightness + 8, view.contrast), ArrowDown: () => setWindow(view.brightness - 8, view.contrast),
  ArrowRight: () => setWindow(view.brightness, view.contrast + 5), ArrowLeft: () => setWindow(view.brightness, view.contrast - 5),
};
for (const kind of study.kinds) KEYS[kind[0]] = () => choose({ answer: kind });
study.confidence.forEach((_, index) => { KEYS[index + 1] = () => choose({ confidence: index + 1 }); });

document.addEventListener("keydown", (event) => {
  if (element("reading").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const inside = event.target;
  if (inside.matches("input") && event.key.startsWith("Arrow")) return; // a slider moves by them
  if (inside.matches("button") && event.key === "Enter" && inside.id !== "next") return; // the button is pressed
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  if (!event.repeat || /^(Arrow|[-+=])/.test(event.key)) act();
});
window.addEventListener("beforeunload", (event) => {
  if (session && answered() && !kept && !exported) event.preventDefault();
});

start();
})();
