"""The package's version, on a page of its own that everybody may read."""
__version__ = "0.2.0"
