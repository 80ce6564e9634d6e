"""The diagnosis report: what a plant's digests say of a span of days, as a page with pictures for people.

Nothing that the daemon imports reaches this room.
"""
