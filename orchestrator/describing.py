"""What MLflow's pages say of a job and of its campaigns."""

from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.tracking.notes import note
from orchestrator.tracking.run_texts import Value, learner_parameters


def campaign_parameters(prepared: Prepared, planned: PlannedCampaign) -> dict[str, Value]:
    """Parameters that make campaigns comparable side by side: design, budget, data sizes, learner's options."""
    data = prepared.loaded.dataset
    return {
        "design": planned.spec.design,
        "design.label": planned.design.label,
        **{f"design.{name}": value for name, value in planned.parameters.given().items()},
        "design.seed": planned.seed,
        "retrains": planned.draws,
        "n": data.n,
        "n_test": data.n_test,
        "task": data.task,
        **learner_parameters(prepared.job.learner),
    }


def job_parameters(prepared: Prepared) -> dict[str, Value]:
    """Parameters of the job's own run: what its campaigns share."""
    data = prepared.loaded.dataset
    return {
        "campaigns": ", ".join(each.name for each in prepared.campaigns),
        "values": ", ".join(prepared.values),
        "n": data.n,
        "n_test": data.n_test,
        "task": data.task,
        **learner_parameters(prepared.job.learner),
    }


def job_description(prepared: Prepared) -> str:
    """The parent run's description."""
    data, job = prepared.loaded.dataset, prepared.job
    return note(
        job.name,
        what="Influence of training instances on test losses, from retrains on many subsets. Child runs are campaigns; "
        "the report and the job file that replays everything are artifacts of this run.",
        facts={
            "training instances": f"{data.n:,}",
            "test instances": f"{data.n_test:,}",
            "learner": job.learner.kind,
            "campaigns": ", ".join(each.name for each in prepared.campaigns),
            "values": ", ".join(prepared.values),
        },
        commands={name: words for name, words in _commands(prepared).items() if words},
    )


def campaign_description(prepared: Prepared, planned: PlannedCampaign) -> str:
    """A campaign's description."""
    data = prepared.loaded.dataset
    return note(
        f"{prepared.job.name}: {planned.name}",
        what=f"Design {planned.design.label}. Each row of the chunks (artifacts, Parquet) is one retrain with its loss "
        "on every test instance. Metrics run along retrains done.",
        facts={
            "draws": f"{planned.draws:,}",
            "training instances": f"{data.n:,}",
            "test instances": f"{data.n_test:,}",
            "learner": prepared.job.learner.kind,
        },
        commands={name: words for name, words in _commands(prepared).items() if words},
    )


def _commands(prepared: Prepared) -> dict[str, list[str]]:
    path = prepared.job.origin.path
    if not path:
        return {}
    value = prepared.values[0] if prepared.values else "banzhaf"
    return {
        "how far it is": ["apportion", "status", path],
        "go on after a stop": ["apportion", "resume", path],
        "export a value": ["apportion", "values", path, "--value", value, "-o", f"{value}.parquet"],
        "the report again": ["apportion", "report", path],
    }
