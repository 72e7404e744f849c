//VERSION=3
// What Sentinel Hub does at each pixel: the digital numbers of one product's bands, as they are stored, and its
// scene classification. ECMAScript 5. Source: https://docs.sentinel-hub.com/api/latest/evalscript/v3/
var PRODUCT = "{product}";
var BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"];
var NOTHING = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

function setup() {
  return {
    // Two sources, as each has one way of resampling.
    input: [
      { datasource: "bands", bands: BANDS.concat("dataMask"), units: "DN" },
      { datasource: "classes", bands: ["SCL"], units: "DN" }
    ],
    output: { bands: 13, sampleType: "UINT16" },
    mosaicking: "TILE"
  };
}

// The name of the product stands in one property or another of what a tile is described by.
function isOfProduct(tile) {
  return JSON.stringify(tile).indexOf(PRODUCT) >= 0;
}

function preProcessScenes(collections) {
  ["bands", "classes"].forEach(function (source) {
    var scenes = collections[source].scenes;
    var found = scenes.tiles.filter(isOfProduct);
    if (scenes.tiles.length > 0 && found.length === 0) {
      throw new Error("there is no " + PRODUCT + ", but " + JSON.stringify(scenes.tiles[0]));
    }
    scenes.tiles = found.slice(0, 1);
  });
  return collections;
}

function evaluatePixel(samples) {
  var seen = samples.bands[0];
  var classes = samples.classes[0];
  if (!seen || !classes || !seen.dataMask) {
    return NOTHING;
  }
  return BANDS.map(function (band) {
    return Math.round(seen[band]);
  }).concat(classes.SCL);
}
