"""From recorded scores to a ranking."""
