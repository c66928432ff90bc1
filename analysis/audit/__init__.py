"""Audit of whole networks: where resolution is lost, how much aliases there, and which place is to blame for changes.

Needs torch.
"""

from analysis.audit.experiment import NetworkAudit, audit_network
from analysis.audit.mending import mending_order

__all__ = ["NetworkAudit", "audit_network", "mending_order"]
