"""Land-cover training sets for Europe: Sentinel-2 images paired with CLC+ labels."""

__version__ = "0.1.0"
