"""Text to distil on: readers, cleaning, token blocks and the one input stream."""
