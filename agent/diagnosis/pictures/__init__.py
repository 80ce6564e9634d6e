"""The pictures of the report, as SVG: the only room that imports matplotlib."""
