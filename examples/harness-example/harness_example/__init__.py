"""A meter, a model, a dataset and a score for pepr-harness: one file for each."""
