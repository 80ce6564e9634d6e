"""A month of a simulated plant of which everything is known, and how far the agent's digests agree with it.

``happen`` makes the month's history, seeded; ``truth`` sums it up without any of the agent's arithmetic; ``wires``
and ``tape`` show it to the agent as scans of registers; ``run`` has the real digests made; ``check`` compares.
"""
