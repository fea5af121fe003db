"""Complete example firmware with its training recipe."""
