"""The built-in meters: each module registers its own through the hook that a stranger's package uses."""
