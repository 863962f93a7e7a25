"""Ways to reach a replica beside HTTP: one file each, imported only when asked for."""
