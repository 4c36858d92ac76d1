"""The engine of deployment: all that knows Flower, and nothing that knows learning."""
