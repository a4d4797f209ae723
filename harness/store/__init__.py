"""The store: one SQLite file with one writer and any number of readers."""
