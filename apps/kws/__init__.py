"""Keyword spotting: from recordings to firmware that hears words."""
