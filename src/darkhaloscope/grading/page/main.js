// The grading page: what is on it, what keys do, and what a grade changes.

import { ask, Outbox, pause, Refused } from "./outbox.js";
import { draw, Pictures } from "./pictures.js";

const MEANING = { A: "surely a lens", B: "probably a lens", C: "possibly a lens", none: "not a lens" };
const SIGNS = {
  A: "arc and counter-image, or a ring", B: "an arc, but something is missing",
  C: "light that may be lensed", none: "nothing that lensing would explain",
};
const SHORT = { A: "surely", B: "probably", C: "possibly", none: "no lens" };
const KEYS_OF = { A: ["A", "1"], B: ["B", "2"], C: ["C", "3"], none: ["N", "0"] };
const LETTER = { A: "A", B: "B", C: "C", none: "N" };
const STRETCHES = ["colour", "faint", "bright"];
const BANDS = ["g", "r", "z"];
const KEY_OF_VIEW = { colour: "S", faint: "S", bright: "S", subtracted: "L", difference: "D", g: "F", r: "F", z: "F" };
const ZOOMS = [1, 2, 4];

const $ = (id) => document.getElementById(id);
const token = ownToken();
const state = {
  items: [], place: 0, view: "colour", stretch: "colour", zoom: 1, smooth: true, sheet: null,
  shown: 0, drafts: new Map(), history: [], saving: new Set(), saved: new Map(),
};
let session, outbox, pictures;

function ownToken() {
  const brought = new URLSearchParams(location.search).get("token");
  if (brought) {
    sessionStorage.setItem("token", brought);
    history.replaceState(null, "", "/"); // so that it stays out of the history and of screenshots
  }
  return brought ?? sessionStorage.getItem("token") ?? "";
}

// ---- what is known of an object: its place in this grader's list, its grade, its note

const current = () => state.items[state.place];
const graded = () => state.items.filter((it) => it.grade).length;
const ungraded = (from) => {
  const turned = [...state.items.keys()].map((i) => (i + from) % state.items.length);
  return turned.find((i) => !state.items[i].grade);
};

function grade(grade) {
  const it = current();
  if (!state.sheet) return say("Wait for the picture.");
  const note = $("note").value.trim();
  state.history.push({ place: state.place, before: { grade: it.grade, note: it.note } });
  Object.assign(it, { grade, note });
  state.drafts.delete(it.item);
  const seconds = Math.round(performance.now() - state.shown) / 1000;
  keep({ item: it.item, action: "grade", grade, note, seconds });
  const next = ungraded(state.place + 1);
  if (next === undefined) ended();
  else go(next);
}

function undo() {
  const last = state.history.pop();
  if (last) go(last.place);
  const it = current();
  if (!it.grade) return say("Nothing to undo here; go back to a graded object.");
  Object.assign(it, last ? last.before : { grade: undefined });
  if (!it.grade && it.note) state.drafts.set(it.item, it.note);
  keep({ item: it.item, action: "undo" });
  render();
}

function noted() {
  const it = current();
  const note = $("note").value.trim();
  if (!it.grade) return state.drafts.set(it.item, note);
  if (note === (it.note ?? "")) return;
  state.history.push({ place: state.place, before: { grade: it.grade, note: it.note } });
  it.note = note;
  keep({ item: it.item, action: "grade", grade: it.grade, note });
}

function keep(event) {
  outbox.add(event);
  render();
}

function go(place) {
  if (place < 0 || place >= state.items.length) return;
  if (document.activeElement === $("note")) $("note").blur();
  Object.assign(state, { place, view: state.stretch, sheet: null });
  render();
  show(place);
}

async function show(place) {
  pictures.around(state.items, place);
  const { item } = state.items[place];
  const { sheet, error } = await pictures.of(item);
  if (state.place !== place) return;
  $("wait").textContent = error ?? "The picture is on its way.";
  if (!sheet) return;
  Object.assign(state, { sheet, shown: performance.now() });
  render();
}

// ---- what became of events

function told(what, entry, said) {
  if (what === "saving") state.saving.add(entry.item);
  if (what === "saved") {
    if (!outbox.waiting.some((other) => other.item === entry.item)) {
      state.saving.delete(entry.item);
      adopt(entry.item, said);
      report(entry, said);
    }
    notice("");
  }
  if (what === "away") {
    const n = outbox.waiting.length;
    notice(`Not saved yet: ${said}. ${n} ${n > 1 ? "grades are" : "grade is"} kept in this browser and will be sent.`, "away");
  }
  if (what === "refused") {
    notice(`A grade was refused: ${said}`, "refused");
    state.saving.delete(entry.item);
    start();
  }
  render();
}

// The server's word on an object counts, where nothing newer waits.
function adopt(item, { grade, note }) {
  const it = state.items.find((other) => other.item === item);
  Object.assign(it, { grade: grade ?? undefined, note });
}

function report({ item, action }, { grade }) {
  const number = state.items.findIndex((other) => other.item === item) + 1;
  say(action === "undo" ? `Object ${number}: grade taken back${grade ? `, ${grade} holds again` : ""}.` : `Object ${number}: ${grade}, saved.`);
}

function notice(text, kind) {
  $("notice").hidden = !text;
  $("notice").dataset.state = kind ?? "";
  if ($("notice").textContent !== text) $("notice").textContent = text;
}

// To ears at once; to eyes too where it is more than what they see anyway.
function say(text, toEyes = true) {
  $("said").textContent = text;
  if (toEyes) $("last").textContent = text;
}

// ---- what is seen

function render() {
  const it = current();
  const done = graded();
  $("done").textContent = done;
  $("progress").setAttribute("aria-valuenow", done);
  $("progress").firstElementChild.style.width = `${(100 * done) / state.items.length}%`;
  const waiting = outbox.waiting.length;
  const away = !$("notice").hidden;
  $("saved").dataset.state = waiting ? (away ? "away" : "saving") : "saved";
  const words = waiting ? (away ? `${outbox.onDisk.size} kept here` : "saving") : "all saved";
  if ($("saved").textContent !== words) $("saved").textContent = words;
  $("which").replaceChildren("Object ", made("b", {}, state.place + 1), ` of ${state.items.length}`);
  $("given").textContent = it.grade ? `${it.grade}${state.saving.has(it.item) ? ", not saved yet" : ", saved"}` : "";
  $("given").className = `given ${it.grade ?? ""}`;
  if (document.activeElement !== $("note")) $("note").value = it.grade ? (it.note ?? "") : (state.drafts.get(it.item) ?? "");
  for (const button of $("grades").children) button.setAttribute("aria-pressed", button.dataset.grade === it.grade);
  $("grades").classList.toggle("early", !state.sheet);
  $("back").disabled = state.place === 0;
  $("next").disabled = state.place === state.items.length - 1;
  paint();
}

function paint() {
  const names = session.views.map((view) => view.name);
  const view = session.views[names.indexOf(state.view)];
  const size = session.size_pix;
  $("big").classList.toggle("waiting", !state.sheet);
  $("big").classList.toggle("near", state.zoom > 1);
  $("view-title").textContent = view.title + (state.zoom > 1 ? ` · ${state.zoom}×` : "");
  const across = (size * session.pixel_scale_arcsec) / state.zoom;
  const bar = [1, 2, 5, 10, 20].findLast((arcsec) => arcsec < across / 3) ?? 1;
  $("bar").style.width = `${(($("big").clientWidth || 1) * bar) / across}px`;
  $("bar-said").textContent = `${bar}″`;
  const canvas = $("picture").firstElementChild;
  canvas.setAttribute("aria-label", `Object ${state.place + 1}: ${view.title}, ${view.about}`);
  for (const button of $("views").children) button.setAttribute("aria-pressed", button.dataset.view === state.view);
  if (!state.sheet) return;
  draw(canvas, state.sheet, names.indexOf(state.view), size, state.zoom, state.smooth);
  for (const [i, button] of [...$("views").children].entries()) {
    draw(button.firstElementChild, state.sheet, i, size, state.zoom, state.smooth);
  }
}

function look(view) {
  if (STRETCHES.includes(view)) state.stretch = view;
  state.view = view;
  paint();
  say(session.views.find((each) => each.name === view).title, false);
}

const turn = (list, now) => list[(list.indexOf(now) + 1) % list.length];
const toggle = (view) => look(state.view === view ? state.stretch : view);
const zoom = () => {
  state.zoom = turn(ZOOMS, state.zoom);
  paint();
  say(`Zoom ${state.zoom}`, false);
};

function ended() {
  const tally = session.grades.map((g) => `${g} ${state.items.filter((it) => it.grade === g).length}`);
  $("end-said").textContent = `${state.items.length} objects: ${tally.join(", ")}. Thank you.`;
  render();
  $("end-box").showModal();
}

function peek() {
  $("address").replaceChildren();
  $("peek-yes").hidden = false;
  $("peek-no").textContent = "Stay blind";
  $("peek-box").showModal();
}

async function peeked(event) {
  event.preventDefault();
  const what = { key: crypto.randomUUID(), item: current().item, action: "peek" };
  try {
    const { viewer } = await (await ask(token, "/api/event", what)).json();
    const link = made("a", { href: viewer, target: "_blank", rel: "noopener noreferrer" }, viewer);
    $("address").replaceChildren(link);
    $("peek-yes").hidden = true;
    $("peek-no").textContent = "Close";
    link.focus();
  } catch (error) {
    $("address").textContent = `Not now: ${error.message}.`;
  }
}

// ---- keys and buttons

const KEYS = [
  ...Object.entries(KEYS_OF).map(([g, keys]) => [keys, MEANING[g], () => grade(g)]),
  [["←"], "the object before", () => go(state.place - 1), "ArrowLeft"],
  [["→"], "the next object", () => go(state.place + 1), "ArrowRight"],
  [["U"], "undo the last grade", undo],
  [["T"], "write a note; Enter ends it", () => $("note").focus()],
  [["S"], "stretch: usual, faint, bright", () => look(STRETCHES.includes(state.view) ? turn(STRETCHES, state.view) : state.stretch)],
  [["L"], "lens light off and on", () => toggle("subtracted")],
  [["D"], "difference, g less z", () => toggle("difference")],
  [["F"], "one filter: g, r, z", () => look(BANDS.includes(state.view) ? turn(BANDS, state.view) : "g")],
  [["Z"], "zoom: 1, 2, 4 times", zoom],
  [["P"], "smooth, or pixels", () => { state.smooth = !state.smooth; paint(); }],
  [["E"], "the first object without a grade", () => go(ungraded(0) ?? state.place)],
  [["V"], "viewer: where it is (no longer blind)", peek],
  [["?"], "this help", () => $("help-box").showModal()],
];
const DOES = new Map(KEYS.flatMap(([keys, , act, named]) => [named ?? keys].flat().map((key) => [key.toLowerCase(), act])));

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.target === $("note")) {
    if (event.key === "Enter" || event.key === "Escape") $("note").blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  const act = DOES.get(event.key.toLowerCase());
  if (!act) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) act();
}

function made(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside.map((some) => (some instanceof Node ? some : String(some))));
  return element;
}

function build() {
  $("grader").textContent = session.grader;
  document.title = `Grading · ${session.grader}`;
  $("total").textContent = session.items.length;
  $("progress").setAttribute("aria-valuemax", session.items.length);
  $("views").replaceChildren(...session.views.map((view) => {
    const words = made("span", {}, view.title, made("kbd", {}, KEY_OF_VIEW[view.name]));
    const button = made("button", { "data-view": view.name, title: view.about }, made("canvas", { "aria-hidden": "true" }), words);
    button.onclick = () => look(view.name);
    return button;
  }));
  $("grades").replaceChildren(...session.grades.map((g) => {
    const words = made("span", {}, made("span", { class: "wide" }, MEANING[g]), made("span", { class: "narrow" }, SHORT[g]), made("small", {}, SIGNS[g]));
    const button = made("button", { "data-grade": g, class: g, "aria-label": `${g}: ${MEANING[g]}` },
      made("b", {}, LETTER[g]), words, made("kbd", {}, KEYS_OF[g][1]));
    button.onclick = () => grade(g);
    return button;
  }));
  $("keys").replaceChildren(...KEYS.flatMap(([keys, about]) => [
    made("dt", {}, ...keys.map((key) => made("kbd", {}, key))), made("dd", {}, about),
  ]));
  const does = { back: () => go(state.place - 1), next: () => go(state.place + 1), undo, peek, help: () => $("help-box").showModal(), picture: zoom };
  for (const [id, act] of Object.entries(does)) $(id).onclick = act;
  $("peek-yes").onclick = peeked;
  $("note").onblur = noted;
  document.onkeydown = pressed;
  new ResizeObserver(paint).observe($("big"));
}

// ---- beginning, and beginning again

async function start() {
  session = await opened();
  if (!session) return;
  if (!outbox) {
    const post = async (event) => (await ask(token, "/api/event", event)).json();
    outbox = new Outbox(`dhs-grade-${session.file}-${session.grader}`, post, told);
    await outbox.open();
  }
  pictures ??= new Pictures(token);
  state.items = session.items;
  for (const { item, action, grade, note } of outbox.waiting) {
    const it = state.items.find((other) => other.item === item);
    if (it) Object.assign(it, action === "grade" ? { grade, note } : { grade: undefined });
    state.saving.add(item);
  }
  build();
  go(Math.min(ungraded(0) ?? state.place, state.items.length - 1));
  outbox.send();
  document.body.dataset.ready = "yes";
}

async function opened() {
  for (;;) {
    try {
      return await (await ask(token, "/api/session")).json();
    } catch (error) {
      notice(`${error.message}.`, error instanceof Refused ? "refused" : "away");
      if (error instanceof Refused) return undefined;
      await pause(1500);
    }
  }
}

start();
