"""What the verbs of the command line do that nothing else needs."""
