"""One aggregation algorithm a file; every file is found by itself."""
