"""Whether files are whole, told from their size and their first bytes before anything is loaded: stand-ins that a version
control system leaves in place of content, weights, the pieces of a tokenizer. What a file *means* is for its reader."""
