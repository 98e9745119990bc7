"""The frontend: is it whole and served (check), build it anew (build), put it in place in one step (exchange)."""
