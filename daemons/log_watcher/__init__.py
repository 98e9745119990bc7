"""The log watcher: every error that a log gets is told once, within a second, whatever happens to the file."""
