"""From a file of a known format to its documents (text to distil on) or its rows (labelled data). Files are opened by
themselves, never by a name that a library might expand or remember; nothing here knows of tasks or corpora."""
