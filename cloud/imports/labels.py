"""Class names: a text file with one a line, in class order."""

from pathlib import Path

from models.errors import DataError


def read_labels(path: Path) -> tuple[str, ...]:
    """The names in a labels file; empty lines at its end don't count. DataError when it can't be read as that."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise DataError(
            f"labels {path} cannot be read: {exc.strerror}; expected a text file, one class a line"
        ) from exc
    except UnicodeDecodeError as exc:
        raise DataError(f"labels {path} are not UTF-8 text; expected one class a line") from exc
    labels = tuple(line.strip() for line in text.rstrip().split("\n"))
    for number, label in enumerate(labels, 1):
        if not label or not label.isprintable():
            raise DataError(f"labels {path}:{number}: expected a class name, got {label!r}")
    return labels
