// A region on a canvas: patches as squares of EPSG:3035, north is up, nothing from elsewhere beneath.

export const STATES = ["queued", "cutting", "complete", "partial", "missing", "failed", "unknown"];
const MARGIN_PX = 12;
const SMALLEST_MARKED_PX = 8; // cells below carry no sign besides their colour
const MOST_ZOOM_PX = 160; // a cell

/** Draw a patch of a state; used for the map and for its legend, so that they look alike. */
export function drawPatch(context, state, x, y, width, height, colours) {
  context.fillStyle = colours[state];
  context.fillRect(x, y, width, height);
  if (Math.min(width, height) < SMALLEST_MARKED_PX) return;
  const [inset, right, bottom] = [Math.min(width, height) * 0.25, x + width, y + height];
  context.lineWidth = Math.max(1, Math.min(width, height) / 12);
  context.strokeStyle = colours.sign;
  context.beginPath();
  if (state === "failed") {
    context.moveTo(x + inset, y + inset);
    context.lineTo(right - inset, bottom - inset);
    context.moveTo(right - inset, y + inset);
    context.lineTo(x + inset, bottom - inset);
  } else if (state === "missing") {
    context.moveTo(x + inset, y + height / 2);
    context.lineTo(right - inset, y + height / 2);
  } else if (state === "partial") {
    context.moveTo(x + inset, bottom - inset);
    context.lineTo(right - inset, y + inset);
  }
  context.stroke();
}

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = [...STATES, "sign", "outline", "ink", "chosen"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export class RegionMap {
  /** onPick(place): a patch was chosen. onHover(place or -1, x, y). */
  constructor(canvas, onPick, onHover) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onPick = onPick;
    this.onHover = onHover;
    this.map = null;
    this.digits = "";
    this.chosen = -1;
    this.hovered = -1;
    this.wanted = false;
    this.view = null; // {x, y, scale}: metres at the upper left corner, pixels a metre
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  setMap(map) {
    this.map = map;
    this.places = new Map();
    const { patches } = map;
    for (let at = 0; at < patches.length; at += 4) this.places.set(`${patches[at]},${patches[at + 1]}`, at / 4);
    this.chosen = this.hovered = -1;
    this.fit();
  }

  setDigits(digits) {
    this.digits = digits;
    this.draw();
  }

  choose(place) {
    this.chosen = place;
    this.draw();
  }

  stateOf(place) {
    return STATES[Number(this.digits[place] ?? 6)];
  }

  nameOf(place) {
    const [column, row, part, cell] = this.map.patches.slice(4 * place, 4 * place + 4);
    return `${column * this.map.size}_${row * this.map.size}_${part}_${cell}`;
  }

  placeOf(name) {
    const [x, y] = name.split("_").map(Number);
    return this.places?.get(`${x / this.map.size},${y / this.map.size}`) ?? -1;
  }

  /** Show all of the region. */
  fit() {
    if (!this.map || !this.canvas.clientWidth) return;
    const { patches, size } = this.map;
    let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let at = 0; at < patches.length; at += 4) {
      west = Math.min(west, patches[at]);
      east = Math.max(east, patches[at] + 1);
      south = Math.min(south, patches[at + 1]);
      north = Math.max(north, patches[at + 1] + 1);
    }
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const scale = Math.min(
      (width - 2 * MARGIN_PX) / ((east - west) * size),
      (height - 2 * MARGIN_PX) / ((north - south) * size),
      MOST_ZOOM_PX / size,
    );
    this.view = {
      x: ((west + east) / 2) * size - width / 2 / scale,
      y: ((south + north) / 2) * size + height / 2 / scale,
      scale,
    };
    this.fitted = true;
    this.draw();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (!this.view) return;
    const scale = Math.min(Math.max(this.view.scale * factor, 1e-5), MOST_ZOOM_PX / this.map.size);
    this.view.x += x / this.view.scale - x / scale;
    this.view.y -= y / this.view.scale - y / scale;
    this.view.scale = scale;
    this.fitted = false;
    this.draw();
  }

  draw() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => {
      this.wanted = false;
      if (this.view) this.#paint();
    });
  }

  #paint() {
    const { context, view } = this;
    const { patches, size, outline } = this.map;
    const colours = readColours();
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const gap = size * view.scale >= 5 ? 1 : 0;
    for (let place = 0; place < patches.length / 4; place++) {
      const [x, y, width, height] = this.#box(place);
      if (x + width < 0 || y + height < 0 || x > this.canvas.clientWidth || y > this.canvas.clientHeight) continue;
      drawPatch(context, this.stateOf(place), x, y, width - gap, height - gap, colours);
    }
    context.strokeStyle = colours.outline;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    for (const ring of outline) {
      ring.forEach(([east, north], at) => {
        const [x, y] = [(east - view.x) * view.scale, (view.y - north) * view.scale];
        if (at) context.lineTo(x, y);
        else context.moveTo(x, y);
      });
    }
    context.stroke();
    for (const [place, colour, width] of [[this.hovered, colours.ink, 1], [this.chosen, colours.chosen, 3]]) {
      if (place < 0) continue;
      const [x, y, wide, high] = this.#box(place);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(x - 0.5, y - 0.5, wide, high);
    }
    this.#paintScale(colours);
  }

  #box(place) {
    const { patches, size } = this.map;
    const { x, y, scale } = this.view;
    const [column, row] = [patches[4 * place], patches[4 * place + 1]];
    const left = Math.round((column * size - x) * scale);
    const top = Math.round((y - (row + 1) * size) * scale);
    const right = Math.round(((column + 1) * size - x) * scale);
    const bottom = Math.round((y - row * size) * scale);
    return [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
  }

  #paintScale(colours) {
    const { context } = this;
    const most = 90 / this.view.scale;
    const power = 10 ** Math.floor(Math.log10(most));
    const metres = [5, 2, 1].map((step) => step * power).find((length) => length <= most);
    const [x, y, width] = [MARGIN_PX, this.canvas.clientHeight - MARGIN_PX, metres * this.view.scale];
    context.strokeStyle = context.fillStyle = colours.ink;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x + 0.5, y - 4.5);
    context.lineTo(x + 0.5, y + 0.5);
    context.lineTo(x + width + 0.5, y + 0.5);
    context.lineTo(x + width + 0.5, y - 4.5);
    context.stroke();
    context.font = "11px system-ui, sans-serif";
    context.fillText(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, x + width + 6, y + 1);
  }

  #resize() {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    if (this.fitted === false) this.draw();
    else this.fit();
  }

  #placeAt(x, y) {
    if (!this.view) return -1;
    const column = Math.floor((this.view.x + x / this.view.scale) / this.map.size);
    const row = Math.floor((this.view.y - y / this.view.scale) / this.map.size);
    return this.places.get(`${column},${row}`) ?? -1;
  }

  #listen() {
    const { canvas } = this;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.view) return;
      from = { x: event.offsetX, y: event.offsetY, view: { ...this.view }, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = [event.offsetX, event.offsetY];
      if (from && (from.moved || Math.hypot(x - from.x, y - from.y) > 4)) {
        from.moved = true;
        this.fitted = false;
        this.view.x = from.view.x - (x - from.x) / this.view.scale;
        this.view.y = from.view.y + (y - from.y) / this.view.scale;
        this.draw();
      } else this.#hover(this.#placeAt(x, y), x, y);
    });
    canvas.addEventListener("pointerup", (event) => {
      const place = this.#placeAt(event.offsetX, event.offsetY);
      if (from && !from.moved && place >= 0) this.onPick(place);
      from = null;
    });
    canvas.addEventListener("pointerleave", () => this.#hover(-1, 0, 0));
    canvas.addEventListener("wheel", (event) => {
      // Whoever has not touched the map wants to scroll the page.
      if (!event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.#press(event));
  }

  #hover(place, x, y) {
    if (place !== this.hovered) {
      this.hovered = place;
      this.draw();
    }
    this.onHover(place, x, y);
  }

  #press(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key in steps && this.map) {
      const at = Math.max(this.chosen, 0);
      const [column, row] = this.map.patches.slice(4 * at, 4 * at + 2);
      const [east, north] = this.chosen < 0 ? [0, 0] : steps[event.key];
      const place = this.places.get(`${column + east},${row + north}`) ?? -1;
      if (place >= 0) this.onPick(place);
    } else if (event.key === "+") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }
}
