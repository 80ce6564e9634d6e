"""Digest reports: a pure function of blocks, configuration and events."""
