"""A study in one signed file: written, verified, and read by others without MEDfl."""
