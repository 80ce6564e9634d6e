"""What the machines did in a period: time by state, stops, pieces, energy, key performance indicators. Pure.

A machine's *inputs* are tags. Their samples become step functions (:mod:`.steps`), these become states
(:mod:`.states`), the calendar says which time was planned (:mod:`.calendar`), and everything after that is
arithmetic on intervals. Sums only are kept from period to period; ratios are made last (:mod:`.kpi`).
"""
