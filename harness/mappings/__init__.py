"""Which teacher layers each student layer learns from: parameters and static maps (no torch), dynamic weights (torch)."""
