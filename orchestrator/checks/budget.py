"""A budget that counts nothing, or whose price is not said."""

from orchestrator.errors import Problem
from orchestrator.jobs.job import Job


def budget_problems(job: Job) -> list[Problem]:
    """Limits on GPU hours of workers without GPUs, and on money without a price."""
    problems = []
    if job.budget.gpu_hours is not None and not job.workers.gpus:
        what = f"budget.gpu_hours is {job.budget.gpu_hours:g}, and workers.gpus is 0: no GPU hour would ever be counted"
        mend = "limit `hours`, or give the workers GPUs: workers: {gpus: 1}"
        problems.append(Problem(what, job.origin.where("budget", "gpu_hours"), mend))
    if job.budget.money is not None and not job.budget.price_per_hour:
        what = f"budget.money is {job.budget.money:g}, and nothing says what a worker costs"
        mend = f"budget: {{money: {job.budget.money:g}, price_per_hour: 0.8}}, for one worker and hour"
        problems.append(Problem(what, job.origin.where("budget", "money"), mend))
    return problems
