"""Ridge regression with a fixed penalty: losses by solving, and leave-one-out by its closed form."""

import numpy as np


def squared_errors(X, y, X_test, y_test, penalty):
    A = X.T @ X + penalty * np.eye(X.shape[1])
    b = np.linalg.solve(A, X.T @ y)
    return (y_test - X_test @ b) ** 2


def leave_one_out(X, y, X_test, y_test, penalty):
    """[n, n_test]: (r + x_te A^-1 x_i e_i / (1 - h_i))^2 - r^2 (Cook and Weisberg 1982), without retraining."""
    inverse = np.linalg.inv(X.T @ X + penalty * np.eye(X.shape[1]))
    b = inverse @ X.T @ y
    leverage = np.einsum("ij,jk,ik->i", X, inverse, X)
    moved = (X @ inverse @ X_test.T) * ((y - X @ b) / (1 - leverage))[:, None]
    residuals = y_test - X_test @ b
    return (residuals + moved) ** 2 - residuals**2
