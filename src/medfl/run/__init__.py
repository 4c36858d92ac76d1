"""HOW IT HAPPENS: plan, loop, engines."""
