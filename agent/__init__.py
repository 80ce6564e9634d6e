"""Gongfu Edge: the agent that measures a plant and reports evidence."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gongfu-edge")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"
