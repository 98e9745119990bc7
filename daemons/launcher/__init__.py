"""What becomes other programs: supervisord (`__main__`) and the users' services (`service`)."""
