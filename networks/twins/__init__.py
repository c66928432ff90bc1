"""Networks whose first layer is a mixture of dual-tree packets: theory.md, section 6.1."""
