"""From a file of a known format to its documents (text to distil on) or its rows (labelled data). Files are opened
directly, never by a name that a library might expand or cache; nothing here knows of tasks or corpora."""
