"""Designing a study without code: a form and a text that mean the same, whichever of them one changes."""
