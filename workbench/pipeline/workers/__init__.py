"""Where steps run: an order (what to run) goes to a host program, which answers with an outcome."""
