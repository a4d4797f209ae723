"""Two groups of models, or two runs of the same trials, side by side."""
