"""What is installed: sets of packages, each with the hashes of its wheels (``./scripts/lock``)."""
