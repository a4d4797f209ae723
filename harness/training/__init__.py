"""The fine-tuning of one trial, and what it is judged by."""
