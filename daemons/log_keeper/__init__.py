"""The log keeper: holds watched logs open, so that what is deleted while the watcher is dead is read all the same."""
