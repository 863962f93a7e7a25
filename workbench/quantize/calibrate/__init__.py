"""Calibration: run the float program over the user's data and find a grid for each activation."""
