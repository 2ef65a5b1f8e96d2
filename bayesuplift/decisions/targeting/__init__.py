"""Whom to treat with what, and what that is worth."""
