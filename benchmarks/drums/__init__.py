"""Training corpus, example and measurements of the drum models."""
