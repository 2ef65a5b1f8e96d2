"""From experiment or campaign data to a decision, with posterior uncertainty carried to the end."""
