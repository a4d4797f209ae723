"""The LIDC patches: converting the archives that circulate, and the dataset."""
