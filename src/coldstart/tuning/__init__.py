"""Choose the numbers of a method on validation users, with the same budget for every method."""
