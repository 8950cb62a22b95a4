"""Files from outside: what an asset is, where its bytes may come from (a folder, the hub, the web, a package), fetching
and verifying them by content, and the lock file that pins branches to commits. What the bytes mean belongs to
`harness.formats`, `harness.models` and `harness.tasks`."""
