"""Which trial runs next: pure."""
