"""Who looks, and who lets in: the hub, as a service that hospitals enrol with."""
