"""A hospital's own page, on 127.0.0.1: what ``medfl site`` does, with the mouse."""
