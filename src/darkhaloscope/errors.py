"""The one exception the command line turns into a sentence and exit code 2."""


class DhsError(Exception):
    """Work cannot be done as asked. The message says what came, what is allowed, what to do."""
