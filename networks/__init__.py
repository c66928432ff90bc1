"""Remedies for shift instability in torch networks, and the metrics that judge them."""
