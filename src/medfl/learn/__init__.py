"""WHAT IS LEARNED: statistics that add, algorithms, models, data, metrics."""
