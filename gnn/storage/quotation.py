"""What a file or a library says, as it may stand in a sentence about a file."""

LONGEST = 120


def quoted(value: object) -> str:
    """A value from a file on one line, shortened when it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def reason_of(error: Exception) -> str:
    """The first line of an error of another library, whose messages may quote a file at any length."""
    text = str(error).partition("\n")[0]
    return text if len(text) <= 2 * LONGEST else f"{text[: 2 * LONGEST]}..."
