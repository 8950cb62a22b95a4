"""Text to distil on: the documents of a corpus, cleaned and without evaluated sentences, token blocks on disk, and the
stream of batches drawn from them. How one file is read is in `harness.formats`; labelled rows are in `harness.tasks`."""
