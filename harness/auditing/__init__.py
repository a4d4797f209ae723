"""Which readings and metrics cannot be right: one file for each kind of check, all on one kind of evidence."""
