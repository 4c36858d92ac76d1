"""WHAT IS ASKED: the study, its parts, its arms; reading, digest and schema."""
