"""Turns what supervisord leaves alone into restarts and alerts. Start reading in `__main__`."""
