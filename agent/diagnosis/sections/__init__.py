"""The chapters of the report, as HTML."""
