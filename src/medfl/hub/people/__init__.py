"""Who uses a consortium's hub: accounts, roles and what they may do, sessions, tokens, and what was done."""
