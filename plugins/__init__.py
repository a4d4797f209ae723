"""The built-in models, datasets, executors and scores: each module registers its own through the hooks."""
