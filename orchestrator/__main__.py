"""`python -m orchestrator` is the command `apportion`."""

from orchestrator.cli import main

main()
