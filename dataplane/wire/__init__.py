"""Wire formats: pure functions and decoders between bytes and the canonical form; no I/O."""
