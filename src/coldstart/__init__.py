"""Train, prove and ship recommenders that adapt to a new user from a handful of ratings."""
