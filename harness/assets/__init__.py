"""Files from outside: a folder, the hub, the web or a package, verified by content."""
