"""Remote configuration: signed by pinned administrators, verified here, proven by data."""
