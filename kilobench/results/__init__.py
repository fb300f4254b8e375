"""What records say: storing, statistics, tables, comparing, advising, checking what others submit."""
