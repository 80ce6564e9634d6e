"""A simulated plant and a reference platform, for the demo and the tests."""
