"""Makes what `topology.json` declares, and says what differs from it."""
