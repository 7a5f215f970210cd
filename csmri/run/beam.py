"""Work items as a pipeline of Apache Beam, on the machines of any runner; they see the same folders as this one."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from csmri.core.errors import CsmriError
from csmri.core.quiet import import_tensorflow

QUIET = "--default_sdk_harness_log_level=ERROR"
"""Unless the options say otherwise, workers tell nothing else."""


def check(options: Sequence[str]) -> None:
    """Refuse where Beam is not installed, or does not know an option.

    Raises
    ------
    CsmriError
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise CsmriError("--executor beam: Apache Beam is not installed; pip install 'csmri[beam]'")
    _options(options)


def _options(options: Sequence[str]) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners import create_runner

    given = " ".join(options)
    for before, word in zip(("", *options), options, strict=False):
        if not word.startswith("--") and (not before.startswith("--") or "=" in before):
            raise CsmriError(f"--beam-options {given}: {word!r} belongs to no option; expected --NAME=VALUE")
    parsed = PipelineOptions([QUIET, *options])
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            known = parsed.get_all_options(retain_unknown_options=False)
    except SystemExit as error:  # argparse ends the process where a value is wrong
        why = next(reversed([line.strip() for line in told.getvalue().splitlines() if line.strip()]), "")
        raise CsmriError(f"--beam-options {given}: Apache Beam does not take them ({why:.200})") from error
    for option in options:
        name = option.lstrip("-").split("=")[0]
        if option.startswith("--") and name not in known and f"no_{name}" not in known:
            raise CsmriError(f"--beam-options {option}: Apache Beam knows no such option")
    runner = parsed.view_as(StandardOptions).runner
    try:
        create_runner(runner or "DirectRunner")
    except (ValueError, ImportError, AttributeError) as error:
        raise CsmriError(f"--beam-options --runner={runner}: Apache Beam has no such runner here") from error
    return parsed


def run(work: Any, items: Sequence[Any], options: Sequence[str]) -> Iterator[Any]:
    """Do all items by a pipeline, and tell them when it has ended, as its workers left them.

    Raises
    ------
    CsmriError
        If the pipeline fails as a whole; what was done stays done.
    """
    import apache_beam as beam

    # As bytes: what is unpickled imports TensorFlow, which first has to be kept quiet.
    frozen = pickle.dumps(work)

    class Do(beam.DoFn):
        def setup(self) -> None:
            import_tensorflow()
            self.work = pickle.loads(frozen)

        def process(self, item: bytes) -> None:
            self.work.do(pickle.loads(item))

    try:
        with beam.Pipeline(options=_options(options)) as pipeline:
            _ = pipeline | beam.Create([pickle.dumps(item) for item in items]) | beam.Reshuffle() | beam.ParDo(Do())
    except Exception as error:
        told = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CsmriError(f"Apache Beam's pipeline failed: {told:.300}; given again, the command goes on") from error
    for item in items:
        yield work.kept(item) or work.lost(
            item, "no worker has left a record of it; do all machines see the same folders, under the same names?"
        )
