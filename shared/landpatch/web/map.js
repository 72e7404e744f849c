// The map of a region. Everything it shows is in the element #data; only the base map is fetched.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const map = L.map("map", { preferCanvas: true, minZoom: data.minZoom, maxZoom: data.maxZoom + 4, zoomControl: false });
L.control.zoom({ position: "topleft" }).addTo(map);
L.control.scale({ imperial: false, position: "topleft" }).addTo(map);
map.attributionControl.setPrefix('<a href="https://leafletjs.com">Leaflet</a>');
map.attributionControl.addAttribution(data.credit);

// An element with text, never with HTML: what the page tells comes out of files.
function element(parent, name, text = "", className = "") {
  const made = L.DomUtil.create(name, className, parent);
  made.textContent = text;
  return made;
}

// What is there is never called 0.
const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

// Picture tiles that are in the page.
const Pictures = L.GridLayer.extend({
  createTile(at) {
    const tile = L.DomUtil.create("img");
    const bytes = data.tiles[this.options.layer][`${at.z}/${at.x}/${at.y}`];
    tile.alt = "";
    if (bytes) tile.src = `data:${data.mediaType};base64,${bytes}`;
    return tile;
  },
});

function pictures(layer, zIndex, opacity) {
  return new Pictures({
    layer, zIndex, opacity, bounds: data.bounds, minNativeZoom: data.minNativeZoom, maxNativeZoom: data.maxZoom,
    minZoom: data.minZoom, maxZoom: data.maxZoom + 4,
  });
}

const images = { true: pictures("true", 2, 1), false: pictures("false", 2, 1), ndvi: pictures("ndvi", 2, 1) };
const label = pictures("label", 3, 0.7);
const boundary = L.layerGroup(
  [["#fff", 4], ["#000", 1.5]].map(([color, weight]) =>
    L.polygon(data.boundary, { color, weight, fill: false, interactive: false })
  )
);

// Patches can be clicked whether their states are shown or not.
const plain = { stroke: false, fill: true, fillOpacity: 0 };
const patches = data.patches.map((patch) =>
  L.polygon(patch.ring, plain).bindPopup(() => describe(patch), { minWidth: 300, maxWidth: 360, maxHeight: 420 })
);
const chosen = L.polygon([], { color: "#ff00c8", weight: 3, fill: false, interactive: false }).addTo(map);
patches.forEach((shape, number) => {
  shape.on("popupopen", () => chosen.setLatLngs(data.patches[number].ring));
  shape.on("popupclose", () => chosen.setLatLngs([]));
  shape.addTo(map);
});

function showStates(shown) {
  patches.forEach((shape, number) => {
    const color = data.states[data.patches[number].state];
    shape.setStyle(shown ? { stroke: true, color: "#333", weight: 0.5, fillColor: color, fillOpacity: 0.55 } : plain);
  });
}

function describe(patch) {
  const card = L.DomUtil.create("div", "patch");
  element(card, "h2", patch.name);
  const table = element(card, "table");
  const line = (head, text) => {
    const row = element(table, "tr");
    element(row, "th", head);
    return element(row, "td", text);
  };
  line("state", patch.reason ? `${patch.state}: ${patch.reason}` : patch.state);
  if (patch.image) {
    line("valid, clear", `${percent(patch.image.valid)}, ${percent(patch.image.clear)}`);
    patch.image.products.forEach(([number, share], index) => {
      const product = data.products[number];
      const cell = line(index ? "" : "products", `${product.date}, baseline ${product.baseline}, ${percent(share)} of its pixels`);
      element(element(cell, "div"), "code", product.name);
    });
    element(line("image", ""), "code", `${patch.name}.tif`);
    element(line("SHA-256", ""), "code", patch.image.sha256);
  }
  if (patch.label) {
    const cell = line("label", `${data.labelName} ${patch.label.edition}`);
    drawClasses(cell, patch.label.pixels);
    element(line("SHA-256", ""), "code", patch.label.sha256);
  } else if (patch.labelReason) {
    line("label", patch.labelReason);
  }
  element(line("look", ""), "code", `landpatch preview ${patch.name} --nuts ${data.nuts} --year ${data.year}`);
  return card;
}

function drawClasses(parent, pixels) {
  const total = pixels.reduce((sum, count) => sum + count, 0);
  const bar = element(parent, "div", "", "bar");
  const key = element(parent, "div", "", "key");
  data.classes
    .map((cover) => ({ ...cover, share: pixels[cover.number] / total }))
    .filter((cover) => cover.share > 0)
    .sort((a, b) => b.share - a.share)
    .forEach((cover) => {
      const part = element(bar, "span");
      part.style.background = cover.colour;
      part.style.width = `${100 * cover.share}%`;
      addKey(key, cover.colour, cover.name, percent(cover.share));
    });
}

function addKey(parent, colour, name, note = "") {
  const line = element(parent, "div");
  element(line, "b").style.setProperty("--c", colour);
  element(line, "span", name);
  element(line, "span", note);
  return line;
}

function addScale(parent, colours, ends) {
  element(parent, "div", "", "scale").style.background = `linear-gradient(to right, ${colours.join(",")})`;
  const line = element(parent, "div", "", "ends");
  ends.forEach((end) => element(line, "span", end));
}

// The panel.
function addInput(parent, type, text, attributes, change) {
  const line = element(parent, "label", "", type === "radio" ? "half" : "");
  const input = L.DomUtil.create("input", "", line);
  Object.assign(input, { type }, attributes);
  input.addEventListener("change", () => change(input.checked));
  element(line, "span", text);
  return input;
}

function addOpacity(parent, layers, value) {
  const input = L.DomUtil.create("input", "", parent);
  Object.assign(input, { type: "range", min: 0, max: 1, step: 0.05, value, title: "opacity" });
  input.setAttribute("aria-label", "opacity");
  input.addEventListener("input", () => layers.forEach((layer) => layer.setOpacity(Number(input.value))));
}

function addGroup(parent, title) {
  const group = element(parent, "fieldset");
  element(group, "legend", title);
  return group;
}

const switchLayer = (layer, shown) => (shown ? layer.addTo(map) : layer.remove());

function fillPanel(panel) {
  element(panel, "summary", `${data.nuts} ${data.name}, ${data.year}`);
  element(panel, "p", data.summary);
  if (data.sandbox) element(panel, "p", "SANDBOX: the pixels are synthetic", "sandbox");

  const image = addGroup(panel, "Image");
  const ndviKey = element(panel, "div");
  const names = { true: "true colour", false: "false colour", ndvi: "NDVI", none: "none" };
  Object.entries(names).forEach(([name, text]) =>
    addInput(image, "radio", text, { name: "image", value: name, checked: name === "true" }, () => {
      Object.entries(images).forEach(([other, layer]) => switchLayer(layer, other === name));
      ndviKey.hidden = name !== "ndvi";
    })
  );
  addOpacity(image, Object.values(images), 1);
  image.appendChild(ndviKey);
  ndviKey.hidden = true;
  addScale(ndviKey, data.ndviScale, ["−1", "0", "1"]);

  const land = addGroup(panel, "Land cover");
  const key = element(land, "div", "", "key");
  const shown = addInput(land, "checkbox", data.labelTitle, { name: "label" }, (on) => {
    switchLayer(label, on);
    key.hidden = !on;
  });
  shown.disabled = !data.hasLabel;
  addOpacity(land, [label], label.options.opacity);
  land.appendChild(key);
  key.hidden = true;
  data.classes.forEach((cover) => {
    const line = addKey(key, cover.colour, `${cover.number} ${cover.name}`, cover.share ? percent(cover.share) : "–");
    if (!cover.share) line.classList.add("absent");
  });

  const lines = addGroup(panel, "Other layers");
  addInput(lines, "checkbox", "boundary of the region", { name: "boundary", checked: true }, (on) => switchLayer(boundary, on));
  const states = element(panel, "div", "", "key");
  addInput(lines, "checkbox", "states of the patches", { name: "states" }, (on) => {
    showStates(on);
    states.hidden = !on;
  });
  lines.appendChild(states);
  states.hidden = true;
  Object.entries(data.counts).forEach(([state, count]) => addKey(states, data.states[state], state, String(count)));
  if (data.baseMap) {
    const base = L.tileLayer(data.baseMap.url, {
      attribution: data.baseMap.credit, maxZoom: 22, maxNativeZoom: 18, className: "base", zIndex: 1,
      referrerPolicy: "strict-origin-when-cross-origin", errorTileUrl: L.Util.emptyImageUrl,
    }).addTo(map);
    addInput(lines, "checkbox", "base map (from the internet)", { name: "base", checked: true }, (on) => switchLayer(base, on));
  }
  element(panel, "p", "Click a patch for what it was made of.", "note");
}

const Panel = L.Control.extend({
  onAdd() {
    const panel = L.DomUtil.create("details", "panel");
    panel.open = window.innerWidth > 600;
    L.DomEvent.disableClickPropagation(panel);
    L.DomEvent.disableScrollPropagation(panel);
    fillPanel(panel);
    return panel;
  },
});
map.fitBounds(data.bounds);
images.true.addTo(map);
boundary.addTo(map);
new Panel({ position: "topright" }).addTo(map);
