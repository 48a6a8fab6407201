"""Training finders and asking them: loops and networks, no physics."""
