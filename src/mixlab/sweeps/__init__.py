"""Many runs from one command: planned, started side by side, and followed to their end."""
