"""From the files that a user brings to episodes that a method can learn from."""
