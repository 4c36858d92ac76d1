"""Starting from weights that were learned elsewhere: what fits, what is matched, and how fast each layer goes on."""
