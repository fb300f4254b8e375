"""What can be plugged in: specifications, boards, and the registry that finds contributions."""
