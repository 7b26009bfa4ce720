"""What methods are made of: the recommender protocol, backbones, heads and bundles."""
