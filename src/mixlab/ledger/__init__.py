"""What `mixlab-sweep` does with run folders: show, mark, clean, send to W&B, verify."""
