"""Many sequences through the whole chain: plans a manifest, runs its steps, goes on after failures and kills."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, cast

import tyro

from vhap.cli import options_of, parse, parse_with_lines
from vhap.config.batch import PlanConfig, RunConfig, StepConfig
from vhap.util.errors import exits_cleanly

Commands = (
    Annotated[PlanConfig, tyro.conf.subcommand("plan"), tyro.conf.PositionalRequiredArgs]
    | Annotated[RunConfig, tyro.conf.subcommand("run"), tyro.conf.PositionalRequiredArgs]
    | Annotated[StepConfig, tyro.conf.subcommand("step"), tyro.conf.PositionalRequiredArgs]
)


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(cast(type[PlanConfig | RunConfig | StepConfig], Commands), __doc__, args)
    if isinstance(config, PlanConfig):
        from vhap.pipeline import batch_manifest

        print(batch_manifest.table(batch_manifest.plan(config)))
        if not config.dry_run:
            print(config.output)
        return
    from vhap.pipeline import batch_run

    if isinstance(config, StepConfig):
        sys.exit(batch_run.run_step(config))
    require_known_options(config)
    text, is_well = batch_run.run(config)
    print(text)
    if not is_well:
        print("give the same command again when the cause is mended", file=sys.stderr)
        sys.exit(1)


def require_known_options(config: RunConfig) -> None:
    """Ends the program with one line and status 2 where the manifest gives a command an option that it has not."""
    from vhap.pipeline.batch_manifest import read_manifest
    from vhap.pipeline.batch_run import steps_to_check

    for command, *words in steps_to_check(read_manifest(config.manifest)):
        parse_with_lines(options_of(command), None, words)


if __name__ == "__main__":
    main()
