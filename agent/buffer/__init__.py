"""The durable buffer: column blocks in SQLite, one writer, every loss accounted for."""
