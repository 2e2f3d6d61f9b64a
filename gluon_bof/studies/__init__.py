"""Studies of trained networks: what can be said of them beside their scores."""
