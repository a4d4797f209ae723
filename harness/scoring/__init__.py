"""Judging: from a table of performance and resources to scores, fronts, rankings and selections."""
