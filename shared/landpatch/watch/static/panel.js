// A patch that was clicked: its pictures as soon as there are some, and what it was made of.

import { count, make } from "./format.js";

const PICTURES = [["true", "true colour"], ["false", "false colour"], ["ndvi", "NDVI"], ["label", "label"]];
const THERE = new Set(["complete", "partial"]);

export class Panel {
  constructor(element) {
    this.element = element;
    this.card = null;
  }

  show(card, place) {
    this.card?.map.choose(-1);
    this.card = card;
    this.place = place;
    this.name = card.map.nameOf(place);
    this.seen = "";
    card.map.choose(place);
    this.refresh();
    this.element.hidden = false;
  }

  close() {
    this.card?.map.choose(-1);
    this.card = null;
    this.element.hidden = true;
  }

  /** Its state may have changed. */
  refresh() {
    if (!this.card) return;
    const states = this.card.statesOf(this.place);
    if (states.join() === this.seen) return;
    this.seen = states.join();
    this.#load(...states);
  }

  async #load(image, label) {
    const { card, name, seen } = this;
    const path = `${card.key}/${name}`;
    this.element.replaceChildren(
      make(
        "header",
        {},
        make("h2", {}, name),
        make("button", { type: "button", class: "close", title: "Close", "aria-label": "Close", onclick: () => this.close() }, "×"),
      ),
      make("p", {}, card.key, " · image ", make("span", { class: `state ${image}` }, image), ...(label ? [" · label ", make("span", { class: `state ${label}` }, label)] : [])),
    );
    const pictures = PICTURES.filter(([kind]) => THERE.has(kind === "label" ? label : image));
    if (pictures.length) {
      this.element.append(make("div", { class: "pictures" }, ...pictures.map(([kind, title]) => picture(path, kind, title, this.seen))));
    } else this.element.append(make("p", { class: "quiet" }, "Its pictures are shown here as soon as it is there."));
    try {
      const answer = await fetch(`/patch/${path}`);
      const facts = await answer.json();
      if (this.card !== card || this.name !== name || this.seen !== seen) return; // asked for anew meanwhile
      if (answer.ok) this.element.append(...this.#describe(facts, THERE.has(image)));
      else this.element.append(make("p", { class: "fault" }, facts.fault));
    } catch (error) {
      if (this.seen === seen) this.element.append(make("p", { class: "fault" }, `nothing is told of it: ${error.message}`));
    }
  }

  #describe(facts, shown) {
    // An image that an earlier run has left says nothing of this one.
    const tags = (shown && facts.tags) || {};
    const percent = (share) => `${(100 * Number(share)).toFixed(1)} %`;
    const entries = [
      ["EPSG:3035", facts.bounds.join(" ")],
      ["lon, lat", `${facts.lonlat.slice(0, 2).join(" ")} to ${facts.lonlat.slice(2).join(" ")}`],
      ["valid", tags.VALID_FRACTION && percent(tags.VALID_FRACTION)],
      ["clear", tags.CLEAR_FRACTION && percent(tags.CLEAR_FRACTION)],
      ["products", tags.PRODUCTS?.split(",").join("\n")],
      ["sensed", tags.SENSING_DATES?.split(",").map((day) => day.slice(0, 16).replace("T", " ")).join("\n")],
      ["source", tags.SOURCE],
      ["image", shown && facts.image],
      ["label", facts.label],
    ].filter(([, value]) => value);
    const list = make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, link(value))]));
    const reasons = facts.reasons.map((reason) => make("p", { class: "fault" }, reason));
    return [...reasons, ...(facts.pixels ? [this.#describeClasses(facts)] : []), list];
  }

  #describeClasses({ pixels, classes: known }) {
    const total = pixels.reduce((sum, each) => sum + each, 0);
    const classes = known
      .map(([number, name, colour]) => ({ number, name, colour, pixels: pixels[number] ?? 0 }))
      .filter((each) => each.pixels)
      .sort((one, other) => other.pixels - one.pixels);
    return make(
      "ul",
      { class: "classes" },
      ...classes.map((each) => {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = each.colour;
        const share = (100 * each.pixels) / total;
        return make("li", { title: `${count(each.pixels)} pixels` }, swatch, `${each.number} ${each.name}`, make("b", {}, share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`));
      }),
    );
  }
}

function picture(path, kind, title, version) {
  const image = make("img", { src: `/picture/${path}/${kind}.png?${encodeURIComponent(version)}`, alt: `${title} of ${path}`, width: 250, height: 250 });
  const figure = make("figure", {}, image, make("figcaption", {}, title));
  image.addEventListener("error", () => image.replaceWith(make("p", { class: "absent" }, "cannot be shown")));
  return figure;
}

/** An address as a link, when it is one that a browser opens. */
function link(text) {
  return /^https?:\/\//.test(text) ? make("a", { href: text, rel: "noreferrer", target: "_blank" }, text) : text;
}
