"""Plugins that Hydra finds in this place."""
