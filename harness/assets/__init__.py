"""Files from outside: what an asset is, where its bytes may come from (a folder, the hub, the web, a package), bringing them
here and verifying them by content, and the lock file that pins what a branch names. What the bytes mean is for
`harness.formats`, `harness.models` and `harness.tasks`."""
