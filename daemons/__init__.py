"""Programs (folders) and shared parts (files) of cmux-suite. The map is in daemons/README.md."""

__version__ = "0.1.0"
