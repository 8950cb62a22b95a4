"""The kinds of trial side by side."""
