"""Recipes become runs: steps in processes of their own, cached, cancelled, resumed, here or on a cluster."""
