"""One run: built from its configuration, trained, resumed and tested."""
