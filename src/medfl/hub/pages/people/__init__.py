"""The pages about people: sign-in, one's own account, who is here, what was done, and with whom something is shared."""
