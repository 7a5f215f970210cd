"""The exceptions that csmri raises for problems a person can mend, and for those that pass."""


class CsmriError(Exception):
    """Bad input, told in one line: what was read, where, what was expected, what to do next.

    The command line prints the message and exits with code 2; it never shows a traceback for it.
    """


class WorkerLostError(CsmriError):
    """A training lost one of its workers through no fault of the input; the same command goes on with it.

    The command line ends with exit code 75, the one of `sysexits.h` for what is to be tried again.
    """
