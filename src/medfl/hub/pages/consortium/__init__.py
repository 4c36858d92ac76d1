"""The pages that only a consortium's hub has: its sites, its queue, and who lets a study begin."""
