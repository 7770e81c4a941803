"""Show the pages, one file for each topic."""
