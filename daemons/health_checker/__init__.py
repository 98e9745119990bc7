"""Asks as a user would whether everything is served, and heals the frontend. Start reading in `__main__`."""
