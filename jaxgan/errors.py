"""The one exception for mistakes that a user can mend."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user asked for, told in one line.

    Every command prints the message without a traceback and exits with code 2, having changed nothing on disk. The
    message names the field, the value given, what is allowed and, where there is one, the nearest valid choice.
    """


def unknown_choice(field: str, value: str, choices: Iterable[str]) -> UserError:
    """Builds the error for a value that is none of the allowed names.

    Args:
      field: what the user set, as the user wrote it (``--data``).
      value: the value given.
      choices: every name that is allowed.

    Returns:
      The error, naming the choice closest to ``value`` where one is close.
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(value, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"{field}: {value!r} is not known, choose from {', '.join(choices)}{hint}")
