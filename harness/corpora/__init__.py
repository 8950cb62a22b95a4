"""Text to distil on: the documents of a corpus, cleaned and without evaluated sentences, token blocks on disk, and the
stream of batches drawn from them. Reading one file belongs to `harness.formats`, labelled rows to `harness.tasks`."""
