"""The command: `python -m daemons.cli`, one small module a command. README.md shows all of them at work."""
