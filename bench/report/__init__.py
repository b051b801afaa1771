"""Records as tables and pictures that people read."""
