"""How GDAL is allowed to work: on bytes in memory, without credentials, without looking around.

Source: GDAL documentation, "Security considerations" and "Configuration options".
"""

import os
import warnings

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.session import DummySession

# A JP2 tile by itself and an ImageServer's answer have no georeference; what is stored is checked for one.
warnings.simplefilter("ignore", NotGeoreferencedWarning)

DRIVERS = ("GTiff", "JP2OpenJPEG", "MEM")
"""What is read and written; the JPEG 2000 driver writes from a raster in memory."""
MAX_BLOCK_PIXELS = 2**24
"""Of a block of a file, which GDAL holds whole however small the image is."""
_OTHER_DRIVERS = """
AAIGrid, ACE2, ADRG, AIG, AVCBin, AVCE00, AirSAR, BAG, BIGGIF, BLX, BMP, BSB, BT, BYN, CALS, CEOS,
COASP, COG, COSAR, CPG, CTG, CTable2, DAAS, DERIVED, DIMAP, DIPEx, DOQ1, DOQ2, DTED, ECRGTOC, EEDA,
EEDAI, EHdr, EIR, ELAS, ENVI, ERS, ESAT, ESRI Shapefile, ESRIC, ESRIJSON, FAST, FIT, GFF, GIF,
GNMDatabase, GNMFile, GPKG, GRASSASCIIGrid, GRIB, GS7BG, GSAG, GSBG, GSC, GTI, GTX, GXF, GenBin,
GeoJSON, GeoJSONSeq, HDF5, HDF5Image, HF2, HFA, HTTP, ILWIS, IRIS, ISCE, ISG, ISIS2, ISIS3, JAXAPALSAR,
JDEM, JPEG, KMLSUPEROVERLAY, KRO, L1B, LAN, LCP, LOSLAS, Leveller, MAP, MBTiles, MFF, MFF2, MRF, MSGN,
MVT, Memory, NDF, NGSGEOID, NITF, NOAA_B, NSIDCbin, NTv2, NWT_GRC, NWT_GRD, OSM, OZI, PAux, PCIDSK,
PCRaster, PDF, PDS, PDS4, PLMOSAIC, PNG, PNM, PRF, R, RIK, RMF, ROI_PAC, RPFTOC, RRASTER, RS2, RST,
Rasterlite, S102, S104, S111, SAFE, SAGA, SAR_CEOS, SDTS, SENTINEL2, SGI, SIGDEM, SNAP_TIFF, SNODAS,
SQLite, SRP, SRTMHGT, STACIT, STACTA, TGA, TIL, TSX, Terragen, TopoJSON, USGSDEM, VICAR, VRT, WCS, WEBP,
WMS, WMTS, XPM, XYZ, ZMap, Zarr, netCDF
"""
"""What GDAL 3.10 as of the wheels of rasterio has beside them; it can forbid by name only."""


def restrict_drivers() -> None:
    """Leave GDAL only the drivers that are needed, in this process and in those that it starts.

    Holds when it is called before the first raster is opened: drivers are registered once a process. A
    file that is opened by a driver's name is no other's anyhow; without the others none can be opened
    by mistake, such as a VRT, which names files and addresses.
    """
    os.environ["GDAL_SKIP"] = ",".join(name.strip() for name in _OTHER_DRIVERS.split(","))
    os.environ["PROJ_NETWORK"] = "OFF"


def gdal_env() -> rasterio.Env:
    """The environment for every raster that is opened; use it with `with`.

    Without it rasterio would take the destination store's credentials out of the environment, and
    GDAL would look for files beside the one opened.
    """
    return rasterio.Env(
        session=DummySession(),
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GTIFF_IGNORE_READ_ERRORS="NO",
        GDAL_PAM_ENABLED="NO",
        # No address is followed: none ends like this.
        CPL_VSIL_CURL_ALLOWED_EXTENSIONS=".none",
        # With more threads the JPEG 2000 driver loses the error of a tile that cannot be decoded and
        # leaves zeros in its place.
        GDAL_NUM_THREADS="1",
        CPL_DEBUG="OFF",
    )
