"""A method with all that it is made of: written down, compared, and learnt from any ratings."""

from coldstart.recipe.learning import Learning
from coldstart.recipe.recipe import RECIPE, Recipe

__all__ = ["RECIPE", "Learning", "Recipe"]
