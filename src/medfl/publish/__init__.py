"""HOW IT IS TOLD: figures, report, model card, terminal."""
