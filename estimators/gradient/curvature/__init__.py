"""Curvature as a solver: A^-1 v for A = curvature of the objective + damping."""
