"""What happened: the journal, the artefacts, and what can be read out of them."""
