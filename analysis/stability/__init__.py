"""Stability of whole networks before and after a remedy."""
