"""The engine for thousands of simulated sites: over Ray, on this machine or on a cluster."""
