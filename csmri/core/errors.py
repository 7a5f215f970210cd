"""The one exception that csmri raises for problems a person can mend."""


class CsmriError(Exception):
    """Bad input, told in one line: what was read, where, what was expected, what to do next.

    The command line prints the message and exits with code 2; it never shows a traceback for it.
    """
