"""Experiments that docs/search.md reports: each is a command that goes on where it was stopped."""
