"""What there is to do, in which order, and where it is done."""
