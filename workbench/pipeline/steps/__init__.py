"""One file a verb: the step's parameters as a record, and the body that runs it."""
