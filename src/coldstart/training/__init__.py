"""Meta-training: the one outer loop, its checkpoints, and how it is interrupted."""
