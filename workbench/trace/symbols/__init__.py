"""Names for addresses: Python code objects, native functions, notebook cells. Runs in the traced process."""
