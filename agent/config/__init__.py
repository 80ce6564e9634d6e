"""Configuration: schema, parsing with exact errors, tag tables, templates."""
