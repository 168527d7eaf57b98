"""The report as a page and as tables."""
