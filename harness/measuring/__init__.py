"""Measuring: the meters of a process as one, windows over them, and commands and blocks to be metered."""
