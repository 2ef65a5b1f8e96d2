"""What is believed of the effects of one experiment, or of thousands, from sufficient statistics."""
