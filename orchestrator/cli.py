"""The command `apportion`: parse, call, print. Every command ends with the next thing to try.

Exit codes: 0 done; 1 a bug of ours; 2 the job or the data is wrong; 3 retrains failed beyond the tolerance;
4 a resource is missing; 5 the store refuses; 6 the budget is spent; 130 and 143 interrupted.
"""

import importlib
import sys
import traceback

import click

from estimators.errors import EstimatorError
from orchestrator.errors import ApportionError, Problem
from orchestrator.wording import did_you_mean, shown
from workers.errors import ChunkError, DeviceError, StoreError, WorkerError

COMMANDS = {
    "init": "Write a starter job file and model to edit.",
    "plan": "Say what a job costs before anything is spent.",
    "run": "Carry a job out; again: go on, extend, or report.",
    "resume": "Go on with a job that was stopped or killed.",
    "extend": "Add test instances or losses from kept models.",
    "submit": "Send a job to a Ray cluster and return at once.",
    "status": "Say how far a job is, also by its name.",
    "logs": "Print what the driver of a job says that was sent.",
    "stop": "Stop a job in order, wherever its driver runs.",
    "values": "Export influence or data values.",
    "groups": "Say what whole groups of training instances are worth.",
    "interactions": "Say which pairs of training instances do more together, or less.",
    "explain": "Say what works on one test instance, or what one training instance does.",
    "evaluate": "Judge estimators on retrains that they have not seen.",
    "report": "Write the HTML report from the stored losses.",
    "query": "Answer one SELECT over the stored losses.",
    "verify": "Check every file of a store; set bad ones aside.",
    "import": "Take in losses of loops run elsewhere.",
    "export": "Write a store into one folder, with hashes.",
    "merge": "Take another store's retrains into a job's.",
    "compact": "Join small chunk files to large ones.",
    "gc": "Show, then remove, what no campaign refers to.",
    "methods": "List designs and values, with paper and cost.",
    "doctor": "Check this machine: versions, disk, memory, GPU.",
}


_MODULES = {"import": "import_"}
"""Commands whose name cannot be a module's."""


class _LazyGroup(click.Group):
    """Commands are imported when they are called, so that `--help` does not wait for torch, Ray and MLflow."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            ctx.fail(f"no such command: {shown(cmd_name)}. {did_you_mean(cmd_name, COMMANDS)}".strip())
        module = importlib.import_module(f"orchestrator.commands.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks of every error.")
@click.version_option(package_name="apportion")
def cli(*, debug: bool) -> None:
    """What is each training instance worth? Retrain on many subsets, keep every test loss, read it off.

    Start with: apportion init, or apportion run examples/label_errors/job.yaml
    """
    del debug


def exit_code_of(error: BaseException) -> int:
    """The exit code of an error, by the tree that its package documents."""
    if isinstance(error, ApportionError):
        return error.exit_code
    if isinstance(error, (DeviceError, StoreError)):
        return 4
    if isinstance(error, ChunkError):
        return 5
    if isinstance(error, (EstimatorError, WorkerError)):
        return 2
    return 1


def _print_problems(error: BaseException) -> None:
    problems = error.problems if isinstance(error, ApportionError) else [Problem(str(error))]
    for problem in problems:
        click.echo(click.style("error: ", fg="red", bold=True) + problem.text(), err=True)


def _report(error: BaseException, *, debug: bool) -> int:
    code = exit_code_of(error)
    if debug or code == 1:
        traceback.print_exception(error)
    if code == 1:
        click.echo("This is a bug of apportion, please report it with the lines above.", err=True)
    else:
        _print_problems(error)
    return code


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code; never raises but for what Python itself raises at exit."""
    debug = "--debug" in arguments
    try:
        code = cli.main(
            args=[each for each in arguments if each != "--debug"], prog_name="apportion", standalone_mode=False
        )
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except Exception as error:  # noqa: BLE001 - the outermost edge: every error becomes an exit code
        return _report(error, debug=debug)
    return code if isinstance(code, int) else 0  # what a command gave to `ctx.exit`


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run_command(sys.argv[1:]))
