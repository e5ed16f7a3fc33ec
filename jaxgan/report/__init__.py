"""Reports: an HTML page about runs in one file, and the comparison of two runs."""
