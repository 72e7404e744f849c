// A card a region: its map, how far it is, and what went wrong.

import { count, duration, make, plural, rate } from "./format.js";
import { drawPatch, readColours, RegionMap, STATES } from "./map.js";

const OVER = new Set(["done", "failed"]);

/** Turn what is known of the patches into what is so now: all of it is told, or only what differs. */
export function applyChange(digits, change) {
  if (change.all !== undefined) return change.all;
  const each = [...digits];
  for (const [digit, places] of Object.entries(change.some)) for (const place of places) each[place] = digit;
  return each.join("");
}

export class Card {
  /** onPick(card, place), onClose(card). */
  constructor(key, onPick, onClose) {
    this.key = key;
    [this.nuts, this.year] = key.split("/");
    this.kind = "images";
    this.digits = { images: "", labels: "" };
    this.counts = { images: {}, labels: {} };
    this.row = null;
    this.#build(onPick, onClose);
    this.map = new RegionMap(
      this.canvas,
      (place) => onPick(this, place),
      (place, x, y) => this.#tip(place, x, y),
    );
  }

  #build(onPick, onClose) {
    this.title = make("h2", {}, this.nuts);
    this.state = make("span", { class: "state" });
    this.switches = ["images", "labels"].map((kind) =>
      make("button", { type: "button", "aria-pressed": String(kind === this.kind), onclick: () => this.#turn(kind) }, kind),
    );
    const command = `make region NUTS=${this.nuts} YEAR=${this.year}`;
    this.message = make("p", { class: "message" }, `Nobody has asked for it yet: ${command}`);
    this.canvas = make("canvas", { tabIndex: 0, role: "img", "aria-label": `Patches of ${this.nuts}` });
    this.tip = make("div", { class: "tip", hidden: true });
    this.loading = make("p", { class: "loading", hidden: true }, "reading the boundary …");
    this.legend = make("ul", { class: "legend" });
    this.bars = make("div", { class: "bars" });
    this.reasons = make("details", { class: "reasons", hidden: true });
    this.letters = make("details", { class: "letters", hidden: true });
    const zoom = [
      ["+", "Zoom in", () => this.map.zoom(1.6)],
      ["−", "Zoom out", () => this.map.zoom(1 / 1.6)],
      ["⤢", "Show all", () => this.map.fit()],
    ].map(([text, title, onclick]) => make("button", { type: "button", title, "aria-label": title, onclick }, text));
    this.element = make(
      "article",
      { class: "card", data: { region: this.key } },
      make(
        "header",
        {},
        this.title,
        this.state,
        make("span", { class: "switch", role: "group", "aria-label": "Colour by" }, ...this.switches),
        make("button", { type: "button", class: "close", title: "Do not show", "aria-label": `Do not show ${this.key}`, onclick: () => onClose(this) }, "×"),
      ),
      this.message,
      make("div", { class: "map" }, this.canvas, this.loading, make("div", { class: "zoom" }, ...zoom), this.tip),
      this.legend,
      this.bars,
      this.reasons,
      this.letters,
    );
    this.onPick = onPick;
  }

  /** How far the region is. */
  setRow(row) {
    this.row = row;
    this.element.dataset.state = row.state;
    this.state.className = `state ${row.state}`;
    this.state.textContent = row.state === "cutting" ? `cutting, round ${row.round}` : row.state;
    this.#drawBars();
    this.#say();
  }

  /** News of its patches. */
  setView(news) {
    const another = news.run !== undefined;
    if (another) {
      this.digits = { images: "", labels: "" };
      this.counts = { images: {}, labels: {} };
      if (news.cover !== this.cover) {
        this.cover = news.cover;
        this.#fetchMap();
      }
    }
    for (const kind of ["images", "labels"]) {
      if (news[kind] === undefined) continue;
      this.digits[kind] = applyChange(this.digits[kind], news[kind]);
      this.counts[kind] = news[`${kind}_counts`];
    }
    if (news.reasons) this.#drawReasons(news.reasons);
    if (news.letters) this.#drawLetters(news.letters);
    if (news.fault !== undefined) this.fault = news.fault;
    this.switches[1].hidden = !this.digits.labels;
    if (!this.digits.labels) this.kind = "images";
    this.#show();
    this.#say();
  }

  async #fetchMap() {
    this.loading.hidden = false;
    try {
      const answer = await fetch(`/map/${this.nuts}?cover=${this.cover}`);
      const map = await answer.json();
      if (!answer.ok) throw new Error(map.fault);
      this.title.replaceChildren(this.nuts, " ", make("span", { class: "name" }, `${map.name} ${this.year}`));
      this.map.setMap(map);
      this.#show();
    } catch (error) {
      this.fault = `no map: ${error.message}`;
      this.cover = undefined;
      this.#say();
    } finally {
      this.loading.hidden = true;
    }
  }

  #turn(kind) {
    this.kind = kind;
    this.#show();
  }

  #show() {
    this.switches.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === this.kind)));
    this.map.setDigits(this.digits[this.kind]);
    this.#drawLegend();
  }

  #drawLegend() {
    const colours = readColours();
    const counts = this.counts[this.kind];
    const shown = STATES.filter((state) => state !== "unknown" || counts[state]);
    this.legend.replaceChildren(
      ...shown.map((state) => {
        const swatch = make("canvas", { width: 24, height: 24, class: "swatch" });
        drawPatch(swatch.getContext("2d"), state, 0, 0, 24, 24, colours);
        return make("li", { class: counts[state] ? "" : "none", data: { state } }, swatch, `${state} `, make("b", {}, count(counts[state] ?? 0)));
      }),
    );
  }

  #drawBars() {
    const { row } = this;
    const moving = !OVER.has(row.state);
    const lines = [
      ["products", row.products_done, row.products_total, ""],
      ["images", row.images_done, row.images_total, moving ? this.#pace() : ""],
      ["labels", row.labels_done, row.labels_total, ""],
    ].filter(([, , total]) => total);
    this.bars.replaceChildren(
      ...lines.flatMap(([name, done, total, pace]) => [
        make("span", {}, name),
        make("progress", { max: total, value: done, "aria-label": `${name} of ${this.nuts}` }),
        make("span", { class: "number" }, `${count(done)} / ${count(total)}`),
        make("span", { class: "pace" }, pace),
      ]),
    );
  }

  #pace() {
    if (!this.row.images_per_s) return "";
    const eta = this.row.eta_s === null ? "" : `, ${duration(this.row.eta_s)} left`;
    return `${rate(this.row.images_per_s)}${eta}`;
  }

  #say() {
    const text = [this.row?.message, this.fault].filter(Boolean).join("; ");
    this.message.textContent = text;
    this.message.hidden = !text;
    this.message.classList.toggle("fault", Boolean(this.fault) || this.row?.state === "failed");
  }

  #drawReasons(reasons) {
    const total = reasons.reduce((sum, reason) => sum + reason.count, 0);
    this.reasons.hidden = !total;
    const lines = reasons.map((reason) =>
      make(
        "li",
        {},
        `${plural(reason.count, reason.what)} ${reason.state}: ${reason.reason || "no reason given"} `,
        make("span", { class: "names" }, ...reason.patches.map((name) => this.#link(name)), reason.count > reason.patches.length ? "…" : ""),
      ),
    );
    this.reasons.replaceChildren(make("summary", {}, `${plural(total, "image or label", "images or labels")} not there`), make("ul", {}, ...lines));
  }

  #link(name) {
    return make("button", { type: "button", class: "link", onclick: () => this.#jump(name) }, name);
  }

  #jump(name) {
    const place = this.map.placeOf(name);
    if (place >= 0) this.onPick(this, place);
  }

  #drawLetters(letters) {
    this.letters.hidden = !letters.length;
    const lines = letters.map((letter) =>
      make(
        "li",
        {},
        make("code", {}, letter.what),
        `: ${letter.reason} (${plural(letter.attempts, "attempt")}, ${plural(letter.patches, "patch", "patches")} went on without)`,
      ),
    );
    this.letters.replaceChildren(make("summary", {}, plural(letters.length, "dead letter")), make("ul", {}, ...lines));
  }

  #tip(place, x, y) {
    this.tip.hidden = place < 0;
    if (place < 0) return;
    const labelled = this.digits.labels ? `, label ${STATES[Number(this.digits.labels[place])]}` : "";
    this.tip.textContent = `${this.map.nameOf(place)}: image ${STATES[Number(this.digits.images[place] ?? 6)]}${labelled}`;
    const right = x > this.canvas.clientWidth / 2;
    this.tip.style.left = right ? "" : `${x + 12}px`;
    this.tip.style.right = right ? `${this.canvas.clientWidth - x + 12}px` : "";
    this.tip.style.top = `${y + 12}px`;
  }

  /** Image and label of a patch. */
  statesOf(place) {
    return ["images", "labels"].map((kind) => this.digits[kind] && STATES[Number(this.digits[kind][place])]);
  }
}
