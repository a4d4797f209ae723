"""Running: trials in processes of their own, from the launcher to what runs inside."""
