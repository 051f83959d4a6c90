"""Data sources: where images and labels come from. Floor 2; no torch."""

from zoo.data.sources.catalogue import Known, Source, sources

__all__ = ["Known", "Source", "sources"]
