"""Where weights come from, and reading them without trust."""
