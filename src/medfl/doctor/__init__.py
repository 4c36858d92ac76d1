"""IS THE WAY CLEAR: what stands between a site and its hub, hop by hop, and what a machine lacks."""
