"""The registry service: tmux and the registry agree, and who is missing is told once."""
