// What the server tells -> what is shown. See watch/telling.py for the form of the news.

import { Card } from "./cards.js";
import { Feed } from "./feed.js";
import { bytes, count, make, plural } from "./format.js";
import { Panel } from "./panel.js";

const MOST_CARDS = 8; // as many as the server tells of, patch by patch
const MOST_BY_ITSELF = 4;
const OVER = new Set(["done", "failed"]);
const find = (id) => document.getElementById(id);

const given = new URLSearchParams(location.search).getAll("region").slice(0, MOST_CARDS);
let byItself = !given.length; // nobody has chosen: what is being built is shown
let general = {};
const rows = new Map(); // by region: what is told of it, and its entry in the list
const cards = new Map(given.map((key) => [key, null]));
const feed = new Feed(hear, showLink);
let panel = null;

function showLink(text, alive) {
  find("feed").textContent = text;
  find("feed").classList.toggle("alive", alive);
}

function hear(news, first) {
  if (first) for (const key of [...rows.keys()]) if (!news.rows?.[key]) forget(key);
  general = { ...general, ...news };
  for (const [key, row] of Object.entries(news.rows ?? {})) {
    if (row === null) forget(key);
    else keep(key, row);
  }
  for (const [key, view] of Object.entries(news.views ?? {})) cards.get(key)?.setView(view);
  panel?.refresh();
  showGeneral();
  if (chooseByItself()) feed.follow([...cards.keys()]);
  showEmpty();
}

function keep(key, row) {
  if (!rows.has(key)) rows.set(key, { entry: makeEntry(key) });
  const kept = rows.get(key);
  kept.row = row;
  kept.entry.update(row);
  cards.get(key)?.setRow(row);
}

function forget(key) {
  if (!rows.has(key)) return;
  rows.get(key).entry.element.remove();
  rows.delete(key);
  cards.get(key)?.setView({ fault: "Redis knows nothing of it any more" });
}

/** An entry of the list of regions, in its place by name. */
function makeEntry(key) {
  const [nuts, year] = key.split("/");
  const box = make("input", { type: "checkbox", checked: cards.has(key), onchange: () => toggle(key, box.checked) });
  const state = make("span", { class: "state" });
  const bar = make("progress", { "aria-label": `images of ${key}` });
  const element = make("li", { data: { region: key } }, make("label", {}, box, make("span", { class: "key" }, `${nuts} ${year}`), state, bar));
  const after = [...find("regions").children].find((other) => other.dataset.region > key);
  find("regions").insertBefore(element, after ?? null);
  const update = (row) => {
    state.textContent = row.state;
    state.className = `state ${row.state}`;
    bar.max = row.images_total || 1;
    bar.value = row.images_done;
    element.title = `${count(row.images_done)} of ${count(row.images_total)} images, ${count(row.labels_done)} of ${count(row.labels_total)} labels`;
  };
  return { element, box, update };
}

function toggle(key, shown) {
  byItself = false;
  if (shown && cards.size >= MOST_CARDS) {
    rows.get(key).entry.box.checked = false;
    showLink(`at most ${MOST_CARDS} maps at a time`, true);
    return;
  }
  if (shown) open(key);
  else close(key);
  history.replaceState(null, "", cards.size ? `?${[...cards.keys()].map((each) => `region=${each}`).join("&")}` : "/");
  feed.follow([...cards.keys()]);
}

function open(key) {
  const card = new Card(key, (from, place) => panel?.show(from, place), () => toggle(key, false));
  cards.set(key, card);
  find("cards").append(card.element);
  const known = rows.get(key);
  if (known?.row) card.setRow(known.row);
  if (known) known.entry.box.checked = true;
}

function close(key) {
  const card = cards.get(key);
  if (panel?.card === card) panel.close();
  card?.element.remove();
  cards.delete(key);
  if (rows.has(key)) rows.get(key).entry.box.checked = false;
}

/** Show what is being built, while nobody has chosen; returns whether there is something new to follow. */
function chooseByItself() {
  if (!byItself) return false;
  let wanted = [...rows].filter(([, { row }]) => !OVER.has(row.state)).map(([key]) => key);
  if (!wanted.length && !cards.size) wanted = [...rows.keys()];
  const fresh = wanted.filter((key) => !cards.has(key)).slice(0, Math.max(0, MOST_BY_ITSELF - cards.size));
  fresh.forEach(open);
  return fresh.length > 0;
}

function showGeneral() {
  find("fault").textContent = general.fault ? `${general.fault}. What is shown is older.` : "";
  find("fault").hidden = !general.fault;
  const { account, waiting = {}, refused } = general;
  const entries = [];
  if (account) {
    const volume = account.processing ? (number) => plural(Math.round(number / 1000), "processing unit") : bytes;
    const asked = account.processing ? "processing unit" : "request";
    entries.push(["quota left", `${volume(account.volume)} of ${volume(account.volume_limit)} in 30 days`]);
    entries.push(["left this minute", `${plural(account.requests, asked)}, ${plural(account.connections, "connection")}`]);
    if (account.volume_per_s > 0 && !account.processing) entries.push(["download", `${bytes(account.volume_per_s)}/s`]);
    if (account.held_s > 0) entries.push(["held", `the service asks to wait ${Math.ceil(account.held_s)} s`]);
  }
  const queued = Object.entries(waiting).filter(([, number]) => number);
  entries.push(["waiting", queued.length ? queued.map(([queue, number]) => `${queue} ${count(number)}`).join(", ") : "nothing"]);
  if (refused) entries.push(["refused", plural(refused, "message")]);
  find("general").replaceChildren(...entries.map(([name, value]) => make("div", { data: { name } }, make("dt", {}, name), make("dd", {}, value))));
}

function showEmpty() {
  find("filter").hidden = rows.size <= 12;
  find("cards").querySelector(".empty")?.remove();
  if (cards.size) return;
  const why = rows.size ? "No region is shown. Choose one on the left, or begin one: " : "No region has been asked for yet. Begin one: ";
  find("cards").append(make("p", { class: "empty" }, why, make("code", {}, "make region NUTS=FR101"), ". It appears here by itself."));
}

find("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toUpperCase();
  for (const [key, { entry }] of rows) entry.element.hidden = !key.includes(wanted);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cards.forEach((card) => card?.setView({})));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") panel?.close();
});

const answer = await fetch("/legend");
if (answer.status === 401) location.assign("/login");
const legend = await answer.json();
for (const [state, colour] of Object.entries(legend.states)) document.documentElement.style.setProperty(`--state-${state}`, colour);
find("sandbox").hidden = legend.source !== "sandbox";
panel = new Panel(find("panel"));
given.forEach(open);
feed.follow([...cards.keys()]);
showEmpty();
