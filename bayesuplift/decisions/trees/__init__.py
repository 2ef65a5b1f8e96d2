"""Shallow trees that say who gets which arm."""
