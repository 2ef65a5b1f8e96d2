"""A decision written down: the facts once, then HTML, Markdown and JSON from them."""
