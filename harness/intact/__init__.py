"""Whether files are complete, judged by their size and first bytes before anything is loaded: weights, the pieces
of a tokenizer, and pointer files that a version control system leaves in place of content. What a file *means*
belongs to its reader."""
