"""The configuration: composed, checked, and made into objects."""
