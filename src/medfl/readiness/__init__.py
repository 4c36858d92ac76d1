"""Whether the sites' tables fit a study and each other, and what would repair it; before any run, and without a row."""
