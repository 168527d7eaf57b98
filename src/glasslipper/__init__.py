"""Glasslipper: one API for every model; it learns which one fits.

Each folder here is a room; ARCHITECTURE.md draws the house. This module knows the version
and nothing else, so that importing the package costs nothing.
"""

__version__ = "0.1.0"
