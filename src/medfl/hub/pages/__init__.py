"""The pages that people see: each an HTML and a JSON twin of one typed context."""
