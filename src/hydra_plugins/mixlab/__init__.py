"""What Hydra looks for in this place: our sweeper."""
