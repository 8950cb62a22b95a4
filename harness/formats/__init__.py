"""From a file of a known format to documents or rows."""
