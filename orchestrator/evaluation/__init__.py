"""How far each estimator can be trusted, judged by retrains that it has not seen."""
