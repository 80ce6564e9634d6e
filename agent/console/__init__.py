"""The local web page and API."""
