"""CONTRACTS, SHIPPED: what every engine, journal, algorithm and model must hold to, and tiny federations."""
