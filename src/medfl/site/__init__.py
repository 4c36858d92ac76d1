"""WHO DECIDES: a site's answer, its policy, its memory."""
