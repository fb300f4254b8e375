"""Training and compression: a network in, a smaller trained model out."""
