"""GDAL opens what it is told to and nothing else: no other format, no path, no address, no giant."""

import json
import struct
import subprocess
import sys
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
import rasterio
from rasterio.errors import RasterioError

from landpatch.codec import decode_class_raster, decode_image
from landpatch.drivers import DRIVERS
from landpatch.errors import PermanentError
from landpatch.gdal import gdal_env
from landpatch.jp2 import HEAD_BYTES, SIGNATURE
from landpatch.patch import parse_patch
from landpatch.sources.clcplus import fetch_codes
from services.image_worker.bands import open_head
from tests.http_server import quick_session, serving
from tests.memory import measured

PATCH = parse_patch("3757500_2887500_0_20")
MIB = 2**20
OPEN = """
import json, sys
from landpatch.drivers import restrict_drivers
restrict_drivers()
from landpatch.gdal import gdal_env
import rasterio
from rasterio.errors import RasterioError
opened = []
with gdal_env() as env:
    for path in sys.argv[1:]:
        try:
            with rasterio.open(path) as image:
                opened.append(path)
        except RasterioError:
            continue
    print(json.dumps([sorted(env.drivers()), opened]))
"""


def vrt(source):
    """A raster of nothing but a reference, of the size and kind that is asked for."""
    return (
        '<VRTDataset rasterXSize="4" rasterYSize="3"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()


class Caller(BaseRequestHandler):
    """Whoever connects, for whatever."""

    def handle(self):
        self.server.called.append(self.request.recv(1000))


@contextmanager
def unasked():
    """The address of a real server, and the certainty that nobody has connected to it."""
    with ThreadingTCPServer(("127.0.0.1", 0), Caller) as server:
        server.called = []
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
    assert server.called == []


def open_in_a_new_process(*paths):
    ran = subprocess.run(
        [sys.executable, "-c", OPEN, *map(str, paths)], capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


def test_a_process_has_the_drivers_that_are_needed_and_no_others():
    drivers, _ = open_in_a_new_process()
    assert drivers == sorted(DRIVERS)


def test_a_reference_in_disguise_is_opened_by_no_name(tmp_path, data):
    genuine = next(data.rglob("*_B09_60m.jp2"))
    with unasked() as base:
        paths = []
        for source in (genuine, f"/vsicurl/{base}/x.tif", f"{base}/x.tif"):
            for name in ("x.tif", "x.jp2", "x.vrt"):
                paths.append(tmp_path / f"{len(paths)}-{name}")
                paths[-1].write_bytes(vrt(source))
        _, opened = open_in_a_new_process(genuine, *paths)
    assert opened == [str(genuine)]


def test_an_address_is_not_followed():
    with unasked() as base, gdal_env():
        for address in (f"{base}/x.tif", f"/vsicurl/{base}/x.tif", f"/vsicurl?url={base}/x.tif"):
            with pytest.raises(RasterioError):
                rasterio.open(address)


def test_a_reference_as_the_answer_of_the_label_service_is_refused_and_not_followed(data):
    genuine = next(data.rglob("*_B09_60m.jp2"))
    with unasked() as base:
        for source in (genuine, f"/vsicurl/{base}/x.tif"):
            body = vrt(source)
            with (
                serving(lambda request, body=body: request.send(200, body, Content_Type="image/tiff")) as it,
                pytest.raises(PermanentError, match="not a TIFF"),
            ):
                fetch_codes(f"{it.base}/{{year}}/exportImage", quick_session(), 2021, (0, 0, 40, 30))


def test_a_reference_with_the_first_bytes_of_a_tiff_or_jp2_is_refused(data):
    genuine = next(data.rglob("*_B09_60m.jp2"))
    with unasked() as base:
        for source in (genuine, f"/vsicurl/{base}/x.tif"):
            with pytest.raises(PermanentError):
                decode_class_raster(b"II*\x00" + vrt(source), 4, 3, "window")
            with pytest.raises(PermanentError):
                decode_image(b"II*\x00" + vrt(source), PATCH)
            disguised = SIGNATURE + vrt(source)
            with pytest.raises(PermanentError):
                open_head(disguised, len(disguised), "B9", "product")


def with_gml(file, old, new):
    """A genuine band with other words in its GML, the lengths of the boxes around it mended."""
    longer = (len(new) - len(old)) * file[:HEAD_BYTES].count(old)
    changed = bytearray(file)
    outer = file.index(b"asoc") - 4
    changed[outer + 8 : outer + 16] = struct.pack(">Q", struct.unpack_from(">Q", file, outer + 8)[0] + longer)
    for at in (file.index(b"asoc", outer + 8) - 4, file.index(b"xml <") - 4):
        changed[at : at + 4] = struct.pack(">I", struct.unpack_from(">I", file, at)[0] + longer)
    return bytes(changed[:HEAD_BYTES]).replace(old, new) + bytes(changed[HEAD_BYTES:])


ZONE = b"urn:ogc:def:crs:EPSG::32629"


def test_a_georeference_that_names_a_zone_another_way_is_understood(data):
    """What the next test refuses, it refuses for what it names and not for how it was written."""
    file = with_gml(next(data.rglob("*_B09_60m.jp2")).read_bytes(), ZONE, b"urn:ogc:def:crs:EPSG:9.9.1:32631")
    assert open_head(file[:HEAD_BYTES], len(file), "B9", "product").grid.crs == "EPSG:32631"


def test_a_georeference_that_names_an_address_or_a_file_is_not_followed(tmp_path, data):
    genuine = next(data.rglob("*_B09_60m.jp2")).read_bytes()
    definition = tmp_path / "zone.prj"
    definition.write_text(rasterio.crs.CRS.from_epsg(32629).to_wkt())
    with unasked() as base:
        for named in (f"{base}/zone", f"/vsicurl/{base}/zone", f"{base}/zone#x", str(definition)):
            file = with_gml(genuine, ZONE, named.encode())
            with pytest.raises(PermanentError, match="UTM"):
                open_head(file[:HEAD_BYTES], len(file), "B9", "product")


def test_a_schema_that_the_georeference_names_is_not_fetched(data):
    genuine = next(data.rglob("*_B09_60m.jp2")).read_bytes()
    with unasked() as base:
        file = with_gml(
            genuine, b"http://schemas.opengis.net/gml/3.1.1/profiles/gmlJP2Profile", base.encode()
        )
        assert base.encode() in file[:HEAD_BYTES]
        assert open_head(file[:HEAD_BYTES], len(file), "B9", "product").grid.crs == "EPSG:32629"


def tiff(width, height, tile=0, bands=1):
    """The header of a TIFF that claims a size, and some bytes as if they were pixels."""
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, bands),
        *([(322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, 4096)] if tile else
          [(273, 4, 8), (278, 4, height), (279, 4, 4096)]),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    pixels = bytes(4096)
    ifd = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + ifd


@pytest.mark.parametrize(
    "giant",
    [
        tiff(2_000_000, 2_000_000),
        tiff(2**31 - 1, 2**31 - 1),
        tiff(60_000, 60_000),
        tiff(250, 250, tile=32_752),
        tiff(250, 250, tile=2**20),
        tiff(250, 250, bands=65_535),
    ],
    ids=["terabytes", "largest", "gigabytes", "large tile", "largest tile", "many bands"],
)
def test_a_tiff_that_claims_to_be_enormous_is_refused_before_memory_is_taken(giant):
    with measured() as peak:
        with pytest.raises(PermanentError):
            decode_class_raster(giant, 250, 250, "window")
        with pytest.raises(PermanentError):
            decode_image(giant, PATCH)
    assert peak.taken < 100 * MIB


def test_a_small_tiff_made_the_same_way_is_read():
    """What is refused above is refused for its size."""
    assert decode_class_raster(tiff(16, 16), 16, 16, "window").shape == (16, 16)
    assert decode_class_raster(tiff(16, 16, tile=64), 16, 16, "window").shape == (16, 16)


def test_a_band_that_claims_to_be_one_enormous_tile_is_refused(data):
    file = bytearray(next(data.rglob("*_B09_60m.jp2")).read_bytes())
    size = file.index(b"\xff\x4f\xff\x51") + 8
    for side in (10_980, 2**32 - 1):
        struct.pack_into(">8I", file, size, side, side, 0, 0, side, side, 0, 0)
        with measured() as peak, pytest.raises(PermanentError, match=f"a tile of {side} x {side} pixels"):
            open_head(bytes(file[:HEAD_BYTES]), len(file), "B2", "product")
        assert peak.taken < 30 * MIB
