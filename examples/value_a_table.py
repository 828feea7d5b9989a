"""Which rows of a table does a classifier owe its test losses to? From Python, in this process, in under a minute.

python examples/value_a_table.py [FOLDER]   (the store and the report go to FOLDER, default: ./out)
"""

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer

from orchestrator import Job, arrays_data, run


def main(folder: Path) -> None:
    """Value 300 patients on 100 others with logistic regression."""
    folder.mkdir(parents=True, exist_ok=True)
    table = load_breast_cancer(as_frame=True).frame
    features = table.columns.drop("target")
    table[features] = (table[features] - table[features].mean()) / table[features].std()
    job = Job(
        name="breast-cancer",
        data=arrays_data(X=table[:300], X_test=table[300:400].reset_index(drop=True), label="target"),
        learner={"kind": "logistic_regression", "c": 1.0},
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 400}],
        cluster={"address": "in_process"},
        folder=folder,
    )
    result = run(job)
    influence = result.values("banzhaf")
    print(influence.data_values().to_pandas().nlargest(5, "data_value").to_string(index=False))
    print(influence.proponents(0, count=3).to_string(index=False))
    print(f"certain signs: {influence.certain().mean():.1%} of pairs\nreport: {result.report}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
