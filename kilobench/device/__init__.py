"""From C sources to figures measured on a board."""
