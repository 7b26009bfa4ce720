"""Changes of the code that tests must catch: ``python -m tests.mutants``.

A file of the package is changed in a copy of the tree, the tests of its module run on the copy, and
one of them has to fail. ``named.py`` lists changes that once passed all tests; ``seeded.py`` makes
more of them at random places; ``same.txt`` lists those that change nothing that matters, and why.
Files are named without their folders, so that moving one changes nothing here.
"""
