"""Which of GDAL's drivers there are; said before GDAL is loaded, so without it.

Source: GDAL documentation, "Configuration options", GDAL_SKIP.
"""

import os

DRIVERS = ("GTiff", "JP2OpenJPEG", "MEM")
"""What is read and written; the JPEG 2000 driver writes from a raster in memory."""
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
